-- What is under way at the PLC directory for communities that exist, and the handles that this service answers for.

-- At most one operation at once for each DID: two would follow the same one, and the directory takes only the first. `step` says
-- what is known to be done; `operation` is signed, and stored before it leaves the house, so that the same bytes are sent however
-- often the work is resumed. `kind` says what it is for, `about` the particulars of that kind. Work that has come to its end keeps
-- its row until the next begins, so that whoever lost the answer can be told.
create table plc_work (
  community text collate "C" primary key references community (did),
  kind text not null,
  step text not null check (step in ('prepared', 'submitted', 'confirmed', 'refused')),
  fault text,
  operation jsonb not null,
  operation_cid text collate "C" not null,
  about jsonb not null,
  asked_by text collate "C" not null,
  created_at_ms bigint not null,
  check ((step = 'refused') = (fault is not null))
);
create index plc_work_unfinished on plc_work (created_at_ms) where step in ('prepared', 'submitted');

-- Handles under the domains of this service: in use, or kept for a community that is on its way to one. A community that changes
-- from one to another has both, until the old one is no longer in its document. One that was given up is held for the community that
-- had it last: people who know it by that name must not meet somebody else there the next minute.
create table served_handle (
  handle text collate "C" primary key,
  -- A founding takes its handle before it has its row.
  community text collate "C" not null references community (did) deferrable initially deferred,
  -- Null: not given up. What was held until a time that has passed is there for the next who takes it.
  held_until_ms bigint
);
create index served_handle_by_community on served_handle (community);
insert into served_handle (handle, community) select handle, did from community where handle is not null;

-- A domain of somebody's own may pass from one community to another, whenever its owner writes another DID there. Only the served
-- handles are ours to give out once.
alter table community drop constraint community_handle_key;
create index community_by_handle on community (handle) where handle is not null;
