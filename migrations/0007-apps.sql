-- Which apps are welcome, who asked in vain, and what was taken back. Times are as their names say, given by the program's clock.

-- How apps are judged in a community, or in one of its spaces, which narrows what the community says and never widens it.
-- `unattested` says what becomes of apps that don't prove which they are; null: refused as soon as an app is denied here.
create table app_access (
  scope text collate "C" primary key,
  community text collate "C" not null references community_revision (community),
  mode text not null check (mode in ('open', 'allowList', 'pinned')),
  unattested text check (unattested in ('allow', 'refuse'))
);
create index app_access_by_community on app_access (community);

-- What is said of one app, by its client id, or of every app at a host.
create table app_rule (
  scope text collate "C" not null,
  name text collate "C" not null,
  community text collate "C" not null references community_revision (community),
  is_host boolean not null,
  verdict text not null check (verdict in ('allow', 'deny', 'pending')),
  note text,
  put_by text collate "C" not null,
  put_at_ms bigint not null,
  primary key (scope, name)
);
create index app_rule_by_community on app_rule (community);

-- Apps that proved who they are and were turned away for lack of a rule, so that somebody can judge them.
create table app_seen (
  community text collate "C" not null references community_revision (community),
  client_id text collate "C" not null,
  first_at_ms bigint not null,
  last_at_ms bigint not null,
  times integer not null check (times > 0),
  last_did text collate "C" not null,
  last_space text collate "C" not null,
  primary key (community, client_id)
);
create index app_seen_by_age on app_seen (community, last_at_ms);

-- A community may answer `NotAuthorized` without saying whether it was the app or the person.
alter table community_revision add column is_silent boolean not null default false;

-- Credentials that were taken back before their time. Their rows say why; who holds them is told by other means.
alter table issuance add column revoked_at_sec bigint;
alter table issuance add column revoked_by text collate "C";
alter table issuance add column revoked_because text;
create index issuance_by_community on issuance (community, did, expires_at_sec);
create index issuance_by_app on issuance (community, client_id, expires_at_sec);

-- Whose standing a change may have taken from, until their live credentials have been looked at. Null: everybody's in the community.
-- A process that looks has taken the row until then; one that dies lets go of it so.
create table standing_moved (
  id bigint generated always as identity primary key,
  community text collate "C" not null references community_revision (community),
  did text collate "C",
  revision bigint not null,
  taken_until_ms bigint not null default 0
);
create index standing_moved_by_community on standing_moved (community, id);
