-- Who may change the roll: a community's own roles, the ways of joining, changes that wait for a second person, and spaces that
-- rest. Times are milliseconds since 1970, given by the program's clock.

-- A role that a community named itself, or a shipped one that it understands otherwise. Actions that a newer version wrote and
-- this one does not know give nothing. Changes with `graph_revision`, as the edges between spaces do.
create table role (
  community text collate "C" not null references community_revision (community),
  name text collate "C" not null,
  actions text[] not null,
  description text,
  put_by text collate "C" not null,
  put_at_ms bigint not null,
  primary key (community, name)
);

-- What somebody gave who has fallen since: power over others, so not what most people have.
create index person_edge_by_maker on person_edge (community, added_by) where role not in ('member', 'writer', 'reader');

-- Nobody reads or writes in a frozen space, and nobody comes through it; the rosters stay as they are.
alter table space add column frozen_at_ms bigint;
alter table community_revision add column frozen_at_ms bigint;
create index space_frozen on space (community) where frozen_at_ms is not null;

-- How somebody who is on no roster comes onto this one: by nobody's leave, by asking, or not at all.
alter table space add column joining text not null default 'closed' check (joining in ('closed', 'byRequest', 'open'));
alter table space add column joining_role text collate "C";
alter table space add constraint space_joining_role check ((joining = 'open') = (joining_role is not null));
create index space_open_to_join on space (community) where joining = 'open';

-- An invite is a word that somebody carries: only its hash is kept. It is judged again when it is taken, by what its maker may
-- do then.
create table invite (
  id text collate "C" primary key,
  token_hash bytea not null unique check (octet_length(token_hash) = 32),
  space text collate "C" not null references space (uri),
  community text collate "C" not null references community_revision (community),
  role text collate "C" not null,
  until_ms bigint,
  note text,
  uses_left integer not null check (uses_left >= 0),
  uses_max integer not null check (uses_max > 0),
  expires_at_ms bigint not null,
  made_by text collate "C" not null,
  made_at_ms bigint not null,
  revoked_by text collate "C",
  revoked_at_ms bigint
);
create index invite_by_space on invite (space, id);
create index invite_by_community on invite (community, expires_at_ms);

-- Somebody asked to be put on a roster. A decision stays, so that whoever asks again can be told when they may.
create table join_request (
  space text collate "C" not null references space (uri),
  did text collate "C" not null,
  community text collate "C" not null references community_revision (community),
  message text,
  state text not null check (state in ('open', 'approved', 'declined')),
  asked_at_ms bigint not null,
  decided_by text collate "C",
  decided_at_ms bigint,
  reason text,
  primary key (space, did),
  check ((state = 'open') = (decided_at_ms is null))
);
create index join_request_open on join_request (space, asked_at_ms, did) where state = 'open';
create index join_request_by_person on join_request (did) where state = 'open';
create index join_request_by_community on join_request (community) where state = 'open';

-- An owner offers the community to somebody: it stays theirs until that person takes it, when it is judged again. Without a role
-- for afterwards they leave the roster. An owner has one offer open.
create table ownership_offer (
  community text collate "C" not null references community_revision (community),
  offered_by text collate "C" not null,
  to_did text collate "C" not null,
  role_after text collate "C",
  offered_at_ms bigint not null,
  expires_at_ms bigint not null,
  primary key (community, offered_by)
);
create index ownership_offer_by_receiver on ownership_offer (community, to_did);

-- An act that can't be taken back, proposed by one person: it waits for a second one, or for its day, or for both. `input` is the
-- call as it was made, so that what was approved is what is carried out.
create table proposal (
  id text collate "C" primary key,
  community text collate "C" not null references community_revision (community),
  act text collate "C" not null,
  target text collate "C" not null,
  input jsonb not null,
  state text not null check (state in ('open', 'approved', 'done', 'cancelled')),
  proposed_by text collate "C" not null,
  proposed_at_ms bigint not null,
  expires_at_ms bigint not null,
  approved_by text collate "C",
  due_at_ms bigint,
  ended_by text collate "C",
  ended_at_ms bigint,
  check ((state in ('done', 'cancelled')) = (ended_at_ms is not null)),
  check (state <> 'approved' or due_at_ms is not null)
);
create index proposal_by_community on proposal (community, id);
create index proposal_due on proposal (due_at_ms) where state = 'approved';
-- Of one act on one thing there is one proposal at a time.
create unique index proposal_one_open on proposal (community, act, target) where state in ('open', 'approved');

-- Somebody took ownership from an owner, or keeps one out. For some days after that nobody who is left acts alone in what can't be
-- taken back, and whoever was put out can still stop it.
create table owner_gone (
  community text collate "C" not null references community_revision (community),
  did text collate "C" not null,
  gone_at_ms bigint not null,
  primary key (community, did)
);

-- A roster that is brought in: its rows as they were sent, and what became of those that were not put. The rows are applied in
-- batches, in the order of their lines; `applied_line` is raised in the transaction that puts them, so that a process that dies
-- goes on where it stood.
create table import (
  id text collate "C" primary key,
  space text collate "C" not null references space (uri),
  community text collate "C" not null references community_revision (community),
  state text not null check (state in ('open', 'running', 'done', 'stopped', 'cancelled')),
  rows_given integer not null default 0,
  rows_put integer not null default 0,
  rows_same integer not null default 0,
  rows_refused integer not null default 0,
  applied_line integer not null default 0,
  stopped_by text,
  begun_by text collate "C" not null,
  begun_at_ms bigint not null,
  touched_at_ms bigint not null,
  check ((state = 'stopped') = (stopped_by is not null))
);
create index import_under_way on import (community) where state in ('open', 'running');
create index import_running on import (touched_at_ms) where state = 'running';
create index import_by_age on import (touched_at_ms) where state <> 'running';
create table import_row (
  import text collate "C" not null references import (id),
  line integer not null check (line > 0),
  did text collate "C",
  role text collate "C",
  since_ms bigint,
  until_ms bigint,
  fault text,
  says text,
  primary key (import, line),
  check (fault is not null or (did is not null and role is not null)),
  check ((fault is null) = (says is null))
);
create unique index import_row_person on import_row (import, did) where did is not null and fault is null;
create index import_row_fault on import_row (import, line) where fault is not null;

-- Who is kept out of a community, and who left its spaces, is exported in the order of people.
drop index ban_by_person;
create index ban_by_person on ban (community, did, scope);
drop index departure_by_person;
create index departure_by_person on departure (community, did, space);

-- A community comes to its end after a notice; its row stays, so that its DID is known to have been one.
alter table community_revision add column roll_ended boolean not null default false;
create index community_roll_ended on community_revision (community) where roll_ended;
alter table community drop constraint community_step_check;
alter table community add constraint community_step_check
  check (step in ('prepared', 'submitted', 'confirmed', 'opened', 'refused', 'deleted'));
