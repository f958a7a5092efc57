-- Spaces within spaces: who is kept out, who left, and which communities may nest each other's spaces.

-- Nobody gets past a ban, by no entry and through no other space. `scope` is a space or, for all of them, the community itself.
create table ban (
  scope text collate "C" not null,
  did text collate "C" not null,
  community text collate "C" not null references community_revision (community),
  reason text,
  until_ms bigint,
  banned_by text collate "C" not null,
  banned_at_ms bigint not null,
  primary key (scope, did)
);
create index ban_by_person on ban (did, community);

-- Somebody left a space: no other space's people come in with them in it until they are put there again.
create table departure (
  space text collate "C" not null references space (uri),
  did text collate "C" not null,
  community text collate "C" not null references community_revision (community),
  left_at_ms bigint not null,
  primary key (space, did)
);
create index departure_by_person on departure (did, community);

-- The community that has `space` lets another one nest it. An edge without its offer opens nothing.
create table offer (
  space text collate "C" not null references space (uri),
  to_community text collate "C" not null references community_revision (community),
  community text collate "C" not null references community_revision (community),
  offered_by text collate "C" not null,
  offered_at_ms bigint not null,
  primary key (space, to_community),
  check (community <> to_community)
);
create index offer_by_community on offer (community);
create index offer_by_receiver on offer (to_community);

-- A page of a roster with everybody who comes in by other spaces is read in the order of people; and a person's entries in one
-- community are found by the same index, with all that a decision needs of them.
drop index person_edge_by_person;
create index person_edge_by_person on person_edge (community, did, into_space) include (role, since_ms, until_ms);

create index space_ended on space (community) where state <> 'live';
create index space_edge_by_source on space_edge (from_space);

alter table space_settings add column description text;
