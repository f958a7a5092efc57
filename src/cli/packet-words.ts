/**
 * What a packet says about itself, to somebody who opened it with the ordinary `age` program years later, and knows nothing of this software.
 * Pure. No program acts by a word of it; whoever takes a packet sees that these are the words, since somebody will follow them one day.
 */
import type { CeremonyStatement } from '../keys/ceremony-statements.ts'
import type { Did } from '../names.ts'

/** Where this program is, for somebody who doesn't have it. */
const PROGRAM =
  'The program is called Reeve: its command is "reeve", its papers are docs/keepers.md, docs/keys.md and docs/leaving.md, and any copy of its source will do. It needs no service to be there, only the PLC directory (https://plc.directory) or a copy of it. It needs BOTH keys of the folder in which you keep yours, seal.key and sign.key, as they were when this was dealt; seal.key alone opens this file.'

/** The sentences, in the order in which they are read. `keeper`: whose packet it is. `isWithoutLog`: the log was too long for it. */
export function packetWords({
  said,
  keeper,
  isWithoutLog,
}: {
  readonly said: CeremonyStatement
  readonly keeper: Did
  readonly isWithoutLog: boolean
}): readonly string[] {
  const { community, service, seats, quorum, createdAt } = said
  const others = seats.map(({ did }) => did).filter((did) => did !== keeper)
  const { k, n } = quorum
  return [
    `THIS IS A SECRET OF ${keeper}. It is one share of a key of the community ${community}. Keep the sealed file, in two places, and show what is in it to nobody.`,
    `The key ("pub" below) stands in the list of rotation keys of ${community} from the day on which its keepers have tried it. With it anything can be changed in the identity of the community: its keys, its home, its name, or its end.`,
    `Alone this file can do nothing, and says nothing about the key. ${k} of ${n} shares make the key. Whoever has ${k} of them has the community.`,
    `The others, of whom ${k - 1} have to act with you: ${others.join(', ')}. Look for them under these DIDs, by more than one way, and make sure that you speak with them and not with somebody in their name.`,
    `It was dealt under a statement of ${createdAt}, for the service ${service}, to which no share was given. That service need not be there any more.`,
    'A share is void once another key has taken the place of this one in the identity: compare "pub" with the rotationKeys that the PLC directory shows at /<community>/data.',
    PROGRAM,
    'TO ACT WITH THE PROGRAM: one of you makes a key to receive the shares (reeve keeper opener), and says what is to be signed (reeve keeper ask, or reeve exit with --packet). That request goes to the others, who look at it and give their sealed shares (reeve keeper give). Then the one who asked makes the key for a moment and signs (reeve keeper combine). Nobody has to send this file, or a share, to anybody in the clear.',
    'TO ACT WITHOUT THE PROGRAM, if there is no other way: bring k of these files together on a machine without a network, that is destroyed or wiped afterwards. Each has a "share" (32 bytes, in hexadecimal), an "x" (a number from 1 to 255), and "dealtBy" (32 bytes, in hexadecimal).',
    'They are shares by Shamir, made byte by byte over the field GF(2^8) with the polynomial x^8 + x^4 + x^3 + x + 1 (0x11b, that of AES): byte i of the share is the value at x of a polynomial of degree k - 1, and byte i of the secret is its value at 0. Adding is XOR.',
    'So for each of the 32 places: secret[i] = XOR over the k shares j of share_j[i] * PRODUCT over the other shares m of x_m / (x_m XOR x_j), where * and / are those of the field. Any k shares do; more do as well.',
    'Check each share first: base64url without padding of SHA-256 over the ASCII text reeve-share-v1, the bytes 00 20, the 32 bytes that the hexadecimal digits of "dealtBy" stand for, one byte x, and the 32 bytes of the share must be its "commitment" below.',
    'The 32 bytes that come out, read as a number with the first byte the highest, are the private key on secp256k1 whose public half is "pub". To see that, make the compressed point of it (33 bytes: 02 or 03, then x), put the two bytes e7 01 before it, and write these 35 bytes in base58btc behind the letter z: that is "pub" behind did:key:. If its public half is another one, a share is wrong: sign nothing with it.',
    'With this key any operation of did:plc can be signed, as the specification says (https://web.plc.directory/spec/v0.1/did-plc): ECDSA with SHA-256 over the DAG-CBOR of the operation without sig, as 64 bytes r and s with a low s, in base64url without padding. Once the key was whole somewhere, put another one in its place.',
    isWithoutLog
      ? '"plcLog" is empty: the history of the identity was too long for this file when it was dealt.'
      : '"plcLog" is the history of the identity as it stood when this was dealt. A directory that shows another beginning lies.',
  ]
}
