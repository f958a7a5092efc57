-- A space may name another service, its managing app, which is asked about whom nothing else lets in. The column holds that
-- service's identifier then. An older program that reads it lets nobody in by it.
alter table space_settings
  drop constraint space_settings_read_policy_check,
  drop constraint space_settings_write_policy_check,
  add constraint space_settings_read_policy_check
    check (read_policy in ('public', 'memberList') or read_policy like 'did:%'),
  add constraint space_settings_write_policy_check
    check (write_policy in ('public', 'memberList') or write_policy like 'did:%');

-- By which service's word a credential was given; null where the community's own rosters and settings let its holder in. That word
-- holds for as long as the credential lives and the space names that service.
alter table issuance add column managed_by text;
