-- What is needed so that nobody is locked in: what is known of a key's past, what the PLC log of a community was when it was last read,
-- keys on their way out to their owners, and communities on their way in from elsewhere. Times are milliseconds since 1970, given by the
-- program's clock.

-- `exported`: a copy is outside. `suspect`: somebody may have seen it. A flag is never taken back. `stands_aside`: a space key beside which
-- the `atproto` key signs credentials, because it is about to leave the document, or has just come into it. `arrival`: made for a community
-- that is not here yet, and may never be.
alter table key add column flags text[] not null default '{}'
  check (flags <@ array['exported', 'combinedOnServer', 'suspect']::text[]);
alter table key add column stands_aside boolean not null default false;
alter table key add column arrival text collate "C";
-- Processes look here for what others changed.
create index key_by_state_since on key (state_since_ms);
create index key_over on key (state_since_ms) where state in ('retiring', 'retired');
-- A second replacement of a key that is being replaced is stopped here.
create unique index key_one_pending on key (community, purpose) where state = 'pending' and arrival is null;

-- Who holds the community's own key: the person who proved it. When they leave, it has to be replaced.
alter table community add column recovery_holder text collate "C";
-- Keys that were in that place before, by whose operations nobody has to be alarmed.
alter table community add column former_recovery_keys text[] not null default '{}';
update community set recovery_holder = founder where recovery_key is not null;

-- The log of a community's DID as it was last seen and verified: a directory that later shows less, or another past, is not believed.
-- `judged`: of how many of its operations owners were told what there is to tell. `quiet_until_ms`: until then we sign nothing for this DID, so that a key that was taken out can't come back over an operation of ours.
-- `left_at_ms`: since when its document names another home; nothing is answered for it here. `document_at_ms`: when that was last looked at.
create table plc_watch (
  community text collate "C" primary key references community (did),
  head_cid text collate "C" not null,
  operations integer not null check (operations > 0),
  judged integer not null default 1,
  read_at_ms bigint not null,
  due_at_ms bigint not null,
  document_at_ms bigint,
  document_due_at_ms bigint not null,
  quiet_until_ms bigint,
  left_at_ms bigint
);
create index plc_watch_by_due on plc_watch (due_at_ms);
create index plc_watch_by_document_due on plc_watch (document_due_at_ms);
create index plc_watch_left on plc_watch (community) where left_at_ms is not null;

-- Every operation that was signed here for a community that exists. One that our key signed and that isn't here was signed by a copy of it. It
-- may come into force as long as the operation that it follows is in force: until then no key that it names is thrown away.
create table plc_signed (
  community text collate "C" not null references community (did),
  cid text collate "C" not null,
  prev text collate "C" not null,
  names text[] not null,
  primary key (community, cid)
);
insert into plc_signed (community, cid, prev, names)
  select community, operation_cid, coalesce(operation ->> 'prev', ''), '{}' from plc_work;

-- What owners have to see to, about the identity of their community. It stands until it is no longer so.
create table identity_alarm (
  community text collate "C" not null references community (did),
  name text collate "C" not null,
  since_ms bigint not null,
  about jsonb not null,
  primary key (community, name)
);

-- A replacement of keys under way: at most one for each community. `step` says how far it is; the operation itself is in plc_work. `recovery`
-- is the community's own key that takes the place of the one before, and who proved to hold it.
create table key_rotation (
  community text collate "C" primary key references community (did),
  purposes text[] not null,
  recovery jsonb,
  reason text not null,
  is_urgent boolean not null,
  step text not null check (step in ('aside', 'swap', 'after', 'settle', 'done', 'refused')),
  fault text,
  step_due_at_ms bigint not null,
  asked_by text collate "C" not null,
  began_at_ms bigint not null
);
create index key_rotation_unfinished on key_rotation (step_due_at_ms) where step not in ('done', 'refused');

-- Keys of a person's own, with which they act beside their account: `seal_key` (an age recipient) receives what only they may read, by
-- `sign_key` (a did:key) they confirm what a stolen session must not be able to do.
create table keeper (
  id text collate "C" primary key,
  community text collate "C" not null references community (did),
  did text collate "C" not null,
  seal_key text collate "C" not null,
  sign_key text collate "C" not null,
  enrolled_at_ms bigint not null,
  counts_from_ms bigint not null,
  ended_at_ms bigint
);
create unique index keeper_one_of_a_person on keeper (community, did) where ended_at_ms is null;

-- A key of ours that its owners asked for, from when its day has come until it was fetched or thrown away. `sealed` opens with the seal keys of
-- `recipients` only. The id is that of the proposal.
create table key_export (
  id text collate "C" primary key,
  community text collate "C" not null references community (did),
  key_id text collate "C" not null references key (id),
  asked_by text collate "C" not null,
  recipients jsonb not null,
  state text not null check (state in ('due', 'ready', 'taken', 'lapsed')),
  sealed bytea,
  due_at_ms bigint not null,
  expires_at_ms bigint,
  check ((state = 'ready') = (sealed is not null))
);
create index key_export_unfinished on key_export (due_at_ms) where state in ('due', 'ready');

-- Communities that somebody wants to bring here from another home: keys were made for them, and nothing else. `statement` is what was handed out;
-- where nobody used it in time it is `late`, and its keys are kept a while, since a directory may be behind.
create table arrival (
  id text collate "C" primary key,
  did text collate "C" not null,
  caller text collate "C" not null,
  name text not null,
  statement jsonb not null,
  state text not null check (state in ('waiting', 'late', 'opened', 'lapsed')),
  created_at_ms bigint not null,
  due_at_ms bigint not null
);
create unique index arrival_one_waiting on arrival (did, caller) where state = 'waiting';
create index arrival_by_due on arrival (due_at_ms) where state in ('waiting', 'late');
