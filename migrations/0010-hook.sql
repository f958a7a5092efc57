-- Communities whose DID is an account on somebody's PDS: the keys and the records are there, and the PDS asks here whom to let in. Times
-- are milliseconds since 1970, given by the program's clock.

-- `is_account`: its DID is an account's, and never becomes anything else. `released_at_ms`: since when the account doesn't consent to be
-- decided about here.
alter table community_revision add column is_account boolean not null default false;
alter table community_revision add column released_at_ms bigint;
alter table community_revision add constraint community_revision_released check (is_account or released_at_ms is null);

-- What nobody founded here has no genesis.
alter table community drop constraint community_custody_check;
alter table community add constraint community_custody_check check (custody in ('memberHeld', 'custodial', 'external'));
alter table community alter column operation drop not null;
alter table community alter column operation_cid drop not null;
alter table community add constraint community_genesis check (
  (custody = 'external') = (operation is null) and (operation is null) = (operation_cid is null)
);

-- Since when a space of the account's PDS is decided about here. Null: its records are here, or it has none.
alter table space add column bound_at_ms bigint;

-- What was heard of the host of such a space. A row from before `bound_at_ms` is about an earlier space of that name. `says_access`: it
-- was heard to say what for it asks. `strangers_at_ms`: when it last asked about more strangers than it may.
create table space_host (
  space text collate "C" primary key references space (uri),
  asked_at_ms bigint not null,
  says_access boolean not null,
  strangers_at_ms bigint
);
