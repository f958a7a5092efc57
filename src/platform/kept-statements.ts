/**
 * Statements that the embedded database reads and plans once, and then only fills in.
 *
 * By itself PGlite reads and plans every statement anew, in compiled code on the same thread as everything else: for the long
 * statements of an exchange that is most of the work. It speaks PostgreSQL's own protocol, in which a statement can be kept under
 * a name; what is asked of it this way comes back as from any other call.
 */
import { type PGlite, protocol, types } from '@electric-sql/pglite'
import { type Answer, answerOf } from './sql-driver.ts'
import { NameFailed, type StatementNames } from './statement-names.ts'

interface Kept {
  readonly name: string
  /** Type numbers, of the values that go in and of the columns that come out. */
  readonly takes: readonly number[]
  readonly gives: readonly { readonly name: string; readonly type: number }[]
}

type Message = Awaited<ReturnType<PGlite['execProtocol']>>['messages'][number]

const { serialize } = protocol

export class KeptStatements {
  readonly #pglite: PGlite
  readonly #names: StatementNames
  readonly #kept = new Map<string, Kept>()
  /** As the database said at the end of the last call. */
  #isInTransaction = false

  constructor(pglite: PGlite, names: StatementNames) {
    this.#pglite = pglite
    this.#names = names
  }

  /**
   * Carries out a statement under its name. Null: not carried out, because it has no name, beyond the bound of them, or because
   * the schema changed under what was kept; the next time it is read anew. Throws what the database says, and `NameFailed` when
   * that change undid a transaction.
   */
  async query(text: string, values: readonly unknown[]): Promise<Answer | null> {
    const name = this.#names.nameOf(text)
    if (name === undefined) return null
    try {
      const kept = this.#kept.get(text) ?? (await this.#keep(text, name))
      return await this.#carryOut(kept, values)
    } catch (error) {
      if (!this.#names.isToBlame(text, error)) throw error
      this.#kept.delete(text)
      // By itself it is undone and can be asked again. In a transaction everything before it is undone with it.
      if (!this.#isInTransaction) return null
      throw new NameFailed('a kept statement was of no use any more', { cause: error })
    }
  }

  async #keep(text: string, name: string): Promise<Kept> {
    const messages = await this.#exchange(serialize.parse({ name, text }), serialize.describe({ type: 'S', name }))
    let takes: readonly number[] = []
    let gives: Kept['gives'] = []
    for (const message of messages) {
      if (isParameterDescription(message)) takes = message.dataTypeIDs
      if (isRowDescription(message)) gives = message.fields.map((one) => ({ name: one.name, type: one.dataTypeID }))
    }
    const kept = { name, takes, gives }
    this.#kept.set(text, kept)
    return kept
  }

  async #carryOut({ name, takes, gives }: Kept, values: readonly unknown[]): Promise<Answer> {
    const { serializers, parsers } = this.#pglite
    const given = values.map((value, at) => {
      if (value === null || value === undefined) return null
      const serializer = serializers[takes[at] ?? 0]
      return serializer ? serializer(value) : String(value)
    })
    const messages = await this.#exchange(serialize.bind({ statement: name, values: given }), serialize.execute({}))
    const rows: object[] = []
    let done = ''
    for (const message of messages) {
      if (isDataRow(message)) {
        const columns = gives.map(({ name: column, type }, at) => {
          const field = message.fields[at] ?? null
          return [column, types.parseType(field, type, parsers)]
        })
        rows.push(Object.fromEntries(columns))
      } else if (isCommandComplete(message)) done = message.text
    }
    // As in "INSERT 0 5", "UPDATE 5", "SELECT 5".
    const words = done.split(' ')
    return answerOf(words[0] ?? '', rows, Number(words.at(-1)))
  }

  /** One call for all of it: after an error the database passes over everything up to the end by itself. */
  async #exchange(...parts: readonly Uint8Array[]): Promise<readonly Message[]> {
    const call = Buffer.concat([...parts, serialize.sync()])
    const { messages } = await this.#pglite.execProtocol(call, { throwOnError: false })
    for (const message of messages) if (isReadyForQuery(message)) this.#isInTransaction = message.status !== 'I'
    const failed = messages.find((message) => message instanceof Error)
    if (failed) throw failed
    return messages
  }
}

const isParameterDescription = (message: Message): message is Message & { readonly dataTypeIDs: readonly number[] } =>
  message.name === 'parameterDescription'
const isRowDescription = (
  message: Message,
): message is Message & { readonly fields: readonly { readonly name: string; readonly dataTypeID: number }[] } =>
  message.name === 'rowDescription'
const isReadyForQuery = (message: Message): message is Message & { readonly status: string } =>
  message.name === 'readyForQuery'
const isDataRow = (message: Message): message is Message & { readonly fields: readonly (string | null)[] } =>
  message.name === 'dataRow'
const isCommandComplete = (message: Message): message is Message & { readonly text: string } =>
  message.name === 'commandComplete'
