/**
 * Every way in over XRPC, as one table: lexicon · who may knock · size limit · rate bucket · action.
 *
 * A method that isn't here doesn't exist. The wiring behind the table is in `xrpc-app.ts`.
 */
import { memberCheck } from '../access/memberCheck.ts'
import { auditList } from '../community/auditList.ts'
import { communityGet } from '../community/communityGet.ts'
import { communityList } from '../community/communityList.ts'
import { communityMint } from '../community/communityMint.ts'
import { getSpaceCredential } from '../credential/getSpaceCredential.ts'
import * as com from '../lexicons/com.ts'
import * as community from '../lexicons/community.ts'
import { memberList } from '../membership/memberList.ts'
import { memberPut } from '../membership/memberPut.ts'
import { memberRemove } from '../membership/memberRemove.ts'
import { spaceCreate } from '../space/spaceCreate.ts'
import { spaceGet } from '../space/spaceGet.ts'
import { spaceList } from '../space/spaceList.ts'
import { type Door, exchange, open, procedure, query } from './door.ts'
import { serviceDescribe } from './serviceDescribe.ts'

const { reeve } = community
const KIB = 1024

export const DOORS: readonly Door[] = [
  //       lexicon                                    size       bucket        action
  exchange(com.atproto.space.getSpaceCredential.main, 16 * KIB, 'exchange', getSpaceCredential),
  procedure(reeve.community.mint.main, 16 * KIB, 'founding', communityMint),
  query(reeve.community.get.main, 'governance', communityGet),
  query(reeve.community.list.main, 'governance', communityList),
  procedure(reeve.space.create.main, 64 * KIB, 'governance', spaceCreate),
  query(reeve.space.get.main, 'governance', spaceGet),
  query(reeve.space.list.main, 'governance', spaceList),
  procedure(reeve.member.put.main, 16 * KIB, 'governance', memberPut),
  procedure(reeve.member.remove.main, 16 * KIB, 'governance', memberRemove),
  query(reeve.member.list.main, 'governance', memberList),
  query(reeve.member.check.main, 'governance', memberCheck),
  query(reeve.audit.list.main, 'governance', auditList),
  open(reeve.service.describe.main, 'public', serviceDescribe),
]
