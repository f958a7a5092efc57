/**
 * Every way in over XRPC, as one table: lexicon · who may knock · size limit · rate bucket · action.
 *
 * A method that isn't here doesn't exist. The wiring behind the table is in `xrpc-app.ts`.
 */
import { checkUserAccess } from '../access/checkUserAccess.ts'
import { memberCheck } from '../access/memberCheck.ts'
import { memberExplain } from '../access/memberExplain.ts'
import { memberPreview } from '../access/memberPreview.ts'
import { appList } from '../apps/appList.ts'
import { appPutRule } from '../apps/appPutRule.ts'
import { appRemoveRule } from '../apps/appRemoveRule.ts'
import { appSetAccess } from '../apps/appSetAccess.ts'
import { auditList } from '../community/auditList.ts'
import { communityAdopt } from '../community/communityAdopt.ts'
import { communityDelete } from '../community/communityDelete.ts'
import { communityExportRoll } from '../community/communityExportRoll.ts'
import { communityFreeze } from '../community/communityFreeze.ts'
import { communityGet } from '../community/communityGet.ts'
import { communityList } from '../community/communityList.ts'
import { communityMint } from '../community/communityMint.ts'
import { communityRelease } from '../community/communityRelease.ts'
import { communitySetHandle } from '../community/communitySetHandle.ts'
import { communityTakeIn } from '../community/communityTakeIn.ts'
import { communityUpdate } from '../community/communityUpdate.ts'
import { keyAcknowledge } from '../community/keyAcknowledge.ts'
import { keyApprove } from '../community/keyApprove.ts'
import { keyCancel } from '../community/keyCancel.ts'
import { keyClaimOwnership } from '../community/keyClaimOwnership.ts'
import { keyConclude } from '../community/keyConclude.ts'
import { keyDeal } from '../community/keyDeal.ts'
import { keyEndKeeper } from '../community/keyEndKeeper.ts'
import { keyEnrolKeeper } from '../community/keyEnrolKeeper.ts'
import { keyExport } from '../community/keyExport.ts'
import { keyGet } from '../community/keyGet.ts'
import { keyLiftSuspension } from '../community/keyLiftSuspension.ts'
import { keyList } from '../community/keyList.ts'
import { keyObjectOwnership } from '../community/keyObjectOwnership.ts'
import { keyPropose } from '../community/keyPropose.ts'
import { keyReplaceRecovery } from '../community/keyReplaceRecovery.ts'
import { keyRotate } from '../community/keyRotate.ts'
import { keySubmitShare } from '../community/keySubmitShare.ts'
import { keyTakeExport } from '../community/keyTakeExport.ts'
import { proposalApprove } from '../community/proposalApprove.ts'
import { proposalCancel } from '../community/proposalCancel.ts'
import { proposalList } from '../community/proposalList.ts'
import { credentialList } from '../credential/credentialList.ts'
import { credentialRevoke } from '../credential/credentialRevoke.ts'
import { getSpace } from '../credential/getSpace.ts'
import { getSpaceCredential } from '../credential/getSpaceCredential.ts'
import { federationListOffers } from '../federation/federationListOffers.ts'
import { federationOffer } from '../federation/federationOffer.ts'
import { federationWithdraw } from '../federation/federationWithdraw.ts'
import * as com from '../lexicons/com.ts'
import * as community from '../lexicons/community.ts'
import { memberAcceptInvite } from '../membership/memberAcceptInvite.ts'
import { memberAcceptOwnership } from '../membership/memberAcceptOwnership.ts'
import { memberApplyImport } from '../membership/memberApplyImport.ts'
import { memberBan } from '../membership/memberBan.ts'
import { memberCancelImport } from '../membership/memberCancelImport.ts'
import { memberCreateInvite } from '../membership/memberCreateInvite.ts'
import { memberDecideRequest } from '../membership/memberDecideRequest.ts'
import { memberGetImport } from '../membership/memberGetImport.ts'
import { memberImport } from '../membership/memberImport.ts'
import { memberLeave } from '../membership/memberLeave.ts'
import { memberList } from '../membership/memberList.ts'
import { memberListBans } from '../membership/memberListBans.ts'
import { memberListInvites } from '../membership/memberListInvites.ts'
import { memberListRequests } from '../membership/memberListRequests.ts'
import { memberPut } from '../membership/memberPut.ts'
import { memberReach } from '../membership/memberReach.ts'
import { memberRemove } from '../membership/memberRemove.ts'
import { memberRequestJoin } from '../membership/memberRequestJoin.ts'
import { memberResolve } from '../membership/memberResolve.ts'
import { memberRevokeInvite } from '../membership/memberRevokeInvite.ts'
import { memberTransferOwnership } from '../membership/memberTransferOwnership.ts'
import { memberUnban } from '../membership/memberUnban.ts'
import { roleDelete } from '../membership/roleDelete.ts'
import { roleList } from '../membership/roleList.ts'
import { rolePut } from '../membership/rolePut.ts'
import { listRepos } from '../notify/listRepos.ts'
import { notifyListRegistrations } from '../notify/notifyListRegistrations.ts'
import { notifyPause } from '../notify/notifyPause.ts'
import { notifyReplay } from '../notify/notifyReplay.ts'
import { notifyResume } from '../notify/notifyResume.ts'
import { notifyWrite } from '../notify/notifyWrite.ts'
import { registerNotify } from '../notify/registerNotify.ts'
import { unregisterNotify } from '../notify/unregisterNotify.ts'
import { spaceCreate } from '../space/spaceCreate.ts'
import { spaceDelete } from '../space/spaceDelete.ts'
import { spaceDescribe } from '../space/spaceDescribe.ts'
import { spaceGet } from '../space/spaceGet.ts'
import { spaceList } from '../space/spaceList.ts'
import { spaceUpdate } from '../space/spaceUpdate.ts'
import { steeringApply } from '../steering/steeringApply.ts'
import { steeringConnect } from '../steering/steeringConnect.ts'
import { steeringDisconnect } from '../steering/steeringDisconnect.ts'
import { steeringGet } from '../steering/steeringGet.ts'
import { steeringGetSpace } from '../steering/steeringGetSpace.ts'
import { steeringListDifferences } from '../steering/steeringListDifferences.ts'
import { steeringLook } from '../steering/steeringLook.ts'
import { steeringPut } from '../steering/steeringPut.ts'
import { steeringRemove } from '../steering/steeringRemove.ts'
import {
  announced,
  askedByHost,
  type Door,
  exchange,
  open,
  presented,
  presentedBytes,
  presentedProcedure,
  procedure,
  procedureOfLines,
  query,
} from './door.ts'
import { serviceDescribe } from './serviceDescribe.ts'

const { reeve } = community
const KIB = 1024
const MIB = 1024 * KIB

export const DOORS: readonly Door[] = [
  //       lexicon                                    size       bucket        action
  exchange(com.atproto.space.getSpaceCredential.main, 16 * KIB, 'exchange', getSpaceCredential),
  // Whoever holds somebody's credential uses up what that person may ask for by apps, and not what they govern with.
  presented(com.atproto.simplespace.getSpace.main, 'exchange', getSpace),
  presentedProcedure(com.atproto.space.registerNotify.main, 16 * KIB, 'exchange', registerNotify),
  presentedProcedure(com.atproto.space.unregisterNotify.main, 16 * KIB, 'exchange', unregisterNotify),
  announced(com.atproto.space.notifyWrite.main, 16 * KIB, 'notify', notifyWrite),
  presentedBytes(com.atproto.space.listRepos.main, 'exchange', listRepos),
  askedByHost(com.atproto.simplespace.checkUserAccess.main, 'hook', checkUserAccess),
  query(reeve.credential.list.main, 'governance', credentialList),
  procedure(reeve.credential.revoke.main, 16 * KIB, 'governance', credentialRevoke),
  procedure(reeve.community.mint.main, 16 * KIB, 'founding', communityMint),
  procedure(reeve.community.takeIn.main, 16 * KIB, 'founding', communityTakeIn),
  procedure(reeve.community.adopt.main, 16 * KIB, 'founding', communityAdopt),
  procedure(reeve.community.release.main, 16 * KIB, 'governance', communityRelease),
  procedure(reeve.community.setHandle.main, 16 * KIB, 'governance', communitySetHandle),
  query(reeve.community.get.main, 'governance', communityGet),
  query(reeve.community.list.main, 'governance', communityList),
  procedure(reeve.community.update.main, 16 * KIB, 'governance', communityUpdate),
  procedure(reeve.community.freeze.main, 16 * KIB, 'governance', communityFreeze),
  procedure(reeve.community.delete.main, 16 * KIB, 'governance', communityDelete),
  query(reeve.key.list.main, 'governance', keyList),
  procedure(reeve.key.rotate.main, 16 * KIB, 'governance', keyRotate),
  procedure(reeve.key.replaceRecovery.main, 16 * KIB, 'governance', keyReplaceRecovery),
  procedure(reeve.key.enrolKeeper.main, 16 * KIB, 'governance', keyEnrolKeeper),
  procedure(reeve.key.endKeeper.main, 16 * KIB, 'governance', keyEndKeeper),
  procedure(reeve.key.export.main, 16 * KIB, 'governance', keyExport),
  procedure(reeve.key.takeExport.main, 16 * KIB, 'governance', keyTakeExport),
  procedure(reeve.key.propose.main, 32 * KIB, 'governance', keyPropose),
  procedure(reeve.key.approve.main, 16 * KIB, 'governance', keyApprove),
  // Sixteen packets, each with the log of the identity in it.
  procedure(reeve.key.deal.main, 4 * MIB, 'governance', keyDeal),
  procedure(reeve.key.acknowledge.main, 16 * KIB, 'governance', keyAcknowledge),
  procedure(reeve.key.submitShare.main, 16 * KIB, 'governance', keySubmitShare),
  procedure(reeve.key.conclude.main, 16 * KIB, 'governance', keyConclude),
  procedure(reeve.key.cancel.main, 16 * KIB, 'governance', keyCancel),
  query(reeve.key.get.main, 'governance', keyGet),
  procedure(reeve.key.liftSuspension.main, 16 * KIB, 'governance', keyLiftSuspension),
  // Whoever brings it has the directory asked, and needs to be nobody here.
  procedure(reeve.key.claimOwnership.main, 16 * KIB, 'founding', keyClaimOwnership),
  procedure(reeve.key.objectOwnership.main, 16 * KIB, 'governance', keyObjectOwnership),
  procedure(reeve.proposal.approve.main, 16 * KIB, 'governance', proposalApprove),
  procedure(reeve.proposal.cancel.main, 16 * KIB, 'governance', proposalCancel),
  query(reeve.proposal.list.main, 'governance', proposalList),
  query(reeve.community.exportRoll.main, 'governance', communityExportRoll),
  procedure(reeve.space.create.main, 64 * KIB, 'governance', spaceCreate),
  procedure(reeve.space.update.main, 64 * KIB, 'governance', spaceUpdate),
  procedure(reeve.space.delete.main, 16 * KIB, 'governance', spaceDelete),
  open(reeve.space.describe.main, 'public', spaceDescribe),
  query(reeve.space.get.main, 'governance', spaceGet),
  query(reeve.space.list.main, 'governance', spaceList),
  procedure(reeve.member.put.main, 16 * KIB, 'governance', memberPut),
  procedure(reeve.member.remove.main, 16 * KIB, 'governance', memberRemove),
  procedure(reeve.member.leave.main, 16 * KIB, 'governance', memberLeave),
  procedure(reeve.member.ban.main, 16 * KIB, 'governance', memberBan),
  procedure(reeve.member.unban.main, 16 * KIB, 'governance', memberUnban),
  query(reeve.member.listBans.main, 'governance', memberListBans),
  query(reeve.member.list.main, 'governance', memberList),
  query(reeve.member.check.main, 'governance', memberCheck),
  query(reeve.member.explain.main, 'governance', memberExplain),
  query(reeve.member.preview.main, 'governance', memberPreview),
  query(reeve.member.resolve.main, 'governance', memberResolve),
  query(reeve.member.reach.main, 'governance', memberReach),
  procedure(reeve.member.createInvite.main, 16 * KIB, 'governance', memberCreateInvite),
  procedure(reeve.member.acceptInvite.main, 16 * KIB, 'governance', memberAcceptInvite),
  query(reeve.member.listInvites.main, 'governance', memberListInvites),
  procedure(reeve.member.revokeInvite.main, 16 * KIB, 'governance', memberRevokeInvite),
  procedure(reeve.member.requestJoin.main, 16 * KIB, 'governance', memberRequestJoin),
  query(reeve.member.listRequests.main, 'governance', memberListRequests),
  procedure(reeve.member.decideRequest.main, 16 * KIB, 'governance', memberDecideRequest),
  procedure(reeve.member.transferOwnership.main, 16 * KIB, 'governance', memberTransferOwnership),
  procedure(reeve.member.acceptOwnership.main, 16 * KIB, 'governance', memberAcceptOwnership),
  // Quotation marks in the lines are escaped once more on their way.
  procedureOfLines(reeve.member.import.main, 2048 * KIB, 'governance', memberImport),
  procedure(reeve.member.applyImport.main, 16 * KIB, 'governance', memberApplyImport),
  query(reeve.member.getImport.main, 'governance', memberGetImport),
  procedure(reeve.member.cancelImport.main, 16 * KIB, 'governance', memberCancelImport),
  procedure(reeve.role.put.main, 16 * KIB, 'governance', rolePut),
  procedure(reeve.role.delete.main, 16 * KIB, 'governance', roleDelete),
  query(reeve.role.list.main, 'governance', roleList),
  procedure(reeve.app.setAccess.main, 16 * KIB, 'governance', appSetAccess),
  procedure(reeve.app.putRule.main, 16 * KIB, 'governance', appPutRule),
  procedure(reeve.app.removeRule.main, 16 * KIB, 'governance', appRemoveRule),
  query(reeve.app.list.main, 'governance', appList),
  procedure(reeve.federation.offer.main, 16 * KIB, 'governance', federationOffer),
  procedure(reeve.federation.withdraw.main, 16 * KIB, 'governance', federationWithdraw),
  query(reeve.federation.listOffers.main, 'governance', federationListOffers),
  query(reeve.notify.listRegistrations.main, 'governance', notifyListRegistrations),
  procedure(reeve.notify.pause.main, 16 * KIB, 'governance', notifyPause),
  procedure(reeve.notify.resume.main, 16 * KIB, 'governance', notifyResume),
  procedure(reeve.notify.replay.main, 16 * KIB, 'governance', notifyReplay),
  procedure(reeve.steering.connect.main, 16 * KIB, 'governance', steeringConnect),
  procedure(reeve.steering.disconnect.main, 16 * KIB, 'governance', steeringDisconnect),
  query(reeve.steering.get.main, 'governance', steeringGet),
  procedure(reeve.steering.put.main, 16 * KIB, 'governance', steeringPut),
  procedure(reeve.steering.remove.main, 16 * KIB, 'governance', steeringRemove),
  query(reeve.steering.getSpace.main, 'governance', steeringGetSpace),
  procedure(reeve.steering.look.main, 16 * KIB, 'governance', steeringLook),
  query(reeve.steering.listDifferences.main, 'governance', steeringListDifferences),
  procedure(reeve.steering.apply.main, 16 * KIB, 'governance', steeringApply),
  query(reeve.audit.list.main, 'governance', auditList),
  open(reeve.service.describe.main, 'public', serviceDescribe),
]
