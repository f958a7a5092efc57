-- Spaces at the PDS of a community's account that are kept there as the community wants them, through the account's own grant. Times are
-- milliseconds since 1970, given by the program's clock. What is sealed opens only with the operator's key-encryption key.

-- The key by which this service proves to a PDS which app it is. `community` is the service's own DID in its row.
alter table key drop constraint key_purpose_check;
alter table key add constraint key_purpose_check check (purpose in ('rotation', 'space', 'atproto', 'client'));

-- A connection that somebody has begun. `state` names it between us and the PDS; the link is known to the owner who was given it, and what
-- the browser holds to that browser alone: only what they hash to is here. `asked` is the grant that is asked for.
create table connect_attempt (
  id text collate "C" primary key,
  community text collate "C" not null references community_revision (community),
  begun_by text collate "C" not null,
  asked text not null,
  link_hash text collate "C" not null unique,
  browser_hash text collate "C",
  state text collate "C" unique,
  sealed bytea,
  dek_version integer,
  expires_at_ms bigint not null
);
create index connect_attempt_by_end on connect_attempt (expires_at_ms);

-- The grant of a community's account. `asked` and `granted` are scopes. `lost`: it is no more, and `because` says by what; its row stays, so
-- that owners are told. `sealed` are the tokens; `version` rises with every change of them; `renewed_at_ms`: when the PDS gave the last ones.
create table pds_connection (
  community text collate "C" primary key references community_revision (community),
  state text collate "C" not null check (state in ('connected', 'lost')),
  because text collate "C",
  asked text not null,
  granted text not null,
  connected_by text collate "C" not null,
  connected_at_ms bigint not null,
  state_since_ms bigint not null,
  sealed bytea,
  dek_version integer,
  version bigint not null,
  renewed_at_ms bigint not null,
  check ((state = 'lost') = (because is not null))
);

-- Who alone may do something over all processes, until when.
create table held_turn (
  name text collate "C" primary key,
  holder text collate "C" not null,
  until_ms bigint not null
);

-- A space that is kept at the PDS. `mode`: the PDS asks us (`hook`), or has a list of its own that is kept like the roster (`projection`).
-- `bound_at_ms` tells a space from an earlier one of its name. `state`: `making` until the PDS was seen to have it; `kept`; `missing` when it was
-- kept and isn't there any more; `ending` until it is deleted there. `speaks`: the generation of the PDS, once it is known.
-- `fault`: what keeps it from being as it should, by name. `plan_no`: the number of the newest plan; `plan_after_ms`: before then the roster isn't
-- gone through again because of changes; `plan_due_ms`: when it has to be although nothing was changed, because somebody's time begins or ends.
-- `there`: the settings that the PDS is known to have, as JSON; null: they aren't known. `settings_due`: whether they have to be looked at.
create table steered_space (
  space text collate "C" primary key references space (uri),
  community text collate "C" not null references community_revision (community),
  bound_at_ms bigint not null,
  mode text collate "C" not null check (mode in ('hook', 'projection')),
  state text collate "C" not null check (state in ('making', 'kept', 'missing', 'ending')),
  speaks text collate "C" check (speaks in ('august', 'october')),
  begun_by text collate "C" not null,
  begun_at_ms bigint not null,
  fault text collate "C",
  fault_since_ms bigint,
  again_at_ms bigint not null default 0,
  failures integer not null default 0,
  plan_no bigint not null default 0,
  planned_at_ms bigint,
  plan_after_ms bigint not null default 0,
  plan_due_ms bigint,
  there text collate "C",
  settings_due boolean not null default true,
  reconciled_at_ms bigint,
  reconcile_due_ms bigint not null
);
create index steered_space_by_community on steered_space (community);

-- On which revisions the plan of a space rests: when one of them has moved, it is made anew. `looked`: up to which revision the people whom
-- changes name were looked at one by one since, so that they don't wait for that.
create table steered_basis (
  space text collate "C" not null references steered_space (space) on delete cascade,
  community text collate "C" not null,
  revision bigint not null,
  looked bigint not null,
  primary key (space, community)
);

-- Whom the PDS should have on its list (`wants`) and whom it has, as far as is known (`has`): 0 nobody, 1 who reads, 2 who writes, 3 both. A row in which
-- they differ is a call that is still to be made. `has` null: it is not known, as while a call is under way. `plan`: the last plan that went past
-- them without meeting them.
-- `is_held`: found on the list, declared by nobody here, and not taken off it before an owner agrees. `refused`: the PDS doesn't take this entry.
create table steered_member (
  space text collate "C" not null references steered_space (space) on delete cascade,
  did text collate "C" not null,
  wants smallint not null check (wants between 0 and 3),
  has smallint check (has between 0 and 3),
  plan bigint not null default 0,
  is_held boolean not null default false,
  refused text collate "C",
  primary key (space, did)
);
create index steered_member_to_do on steered_member (space, wants)
  where wants is distinct from has and not is_held and refused is null;
create index steered_member_trouble on steered_member (space) where is_held or refused is not null;

-- A look at what the PDS has, set against what is declared. `state`: `reading`; `shown` when what differs is known and nothing is done about it;
-- `applied`; `failed`, when it could not be read to its end. Counts are of people. `settings` says which settings differ.
create table steered_look (
  id text collate "C" primary key,
  space text collate "C" not null references steered_space (space) on delete cascade,
  asked_by text collate "C",
  state text collate "C" not null check (state in ('reading', 'shown', 'applied', 'failed')),
  because text collate "C",
  began_at_ms bigint not null,
  ended_at_ms bigint,
  read integer not null default 0,
  missing integer not null default 0,
  extra integer not null default 0,
  differing integer not null default 0,
  settings text collate "C" not null default ''
);
create index steered_look_by_space on steered_look (space, began_at_ms);
-- What a look has read so far, and in the end only who differs, with what was declared of them then.
create table steered_actual (
  look text collate "C" not null references steered_look (id) on delete cascade,
  did text collate "C" not null,
  has smallint not null check (has between 0 and 3),
  wants smallint check (wants between 0 and 3),
  primary key (look, did)
);
