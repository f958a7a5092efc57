-- Telling hosts elsewhere which credentials were taken back. Times are milliseconds since 1970 unless a name says seconds, given by the
-- program's clock.

-- What was decided about a credential that was taken back: no host has anything of its space; all are told; some wait for its end, or can't
-- be told. Null: nothing yet. What was taken back before there was this, hosts are not told any more.
alter table issuance add column hosts_plan text check (hosts_plan in ('none', 'tell', 'wait', 'cannot'));
update issuance set hosts_plan = 'wait' where revoked_at_sec is not null;
create index issuance_to_plan on issuance (space, jti) where revoked_at_sec is not null and hosts_plan is null;

-- One host and what keeps it from being told more: `look_at_ms`: not before this, and null when there is nothing to tell; a process that
-- tells has taken the row until then, and `turn` tells it whether it still has.
create table revocation_host (
  host text collate "C" primary key,
  look_at_ms bigint,
  turn bigint not null default 0,
  failures integer not null default 0
);
create index revocation_host_due on revocation_host (look_at_ms) where look_at_ms is not null;

-- One credential, at one host that has to hear of it. `repo`: an account of that host, or one that was there when it was planned. `sent_at_ms`
-- is written before anything leaves: from then on the host may keep it. `moved`: whoever was there is at another host. `deaf`: the host
-- answered that it doesn't take such a call, whichever of its accounts was named; so it is in that space, and in no other.
create table revocation_notice (
  space text collate "C" not null,
  jti text collate "C" not null,
  host text collate "C" not null,
  repo text collate "C" not null,
  ends_at_sec bigint not null,
  planned_at_ms bigint not null,
  look_at_ms bigint not null,
  sent_at_ms bigint,
  state text not null check (state in ('due', 'told', 'cannot', 'deaf', 'ended', 'moved')),
  primary key (space, jti, host)
);
create index revocation_notice_by_host on revocation_notice (host, space);
create index revocation_notice_due on revocation_notice (host, planned_at_ms) where state = 'due';
create index revocation_notice_by_end on revocation_notice (ends_at_sec);

-- Each call to a host, for as long as the host may count it, and in whose name it was made.
create table revocation_call (
  id bigint generated always as identity primary key,
  host text collate "C" not null,
  community text collate "C" not null,
  at_ms bigint not null
);
create index revocation_call_by_host on revocation_call (host, at_ms);
create index revocation_call_by_time on revocation_call (at_ms);
