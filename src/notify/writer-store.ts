/** The tables of the writer set: the newest revision of each repo that wrote in a space, in the order in which it was heard of. */

declare module '../platform/database.ts' {
  interface Tables {
    writer_set: { space: string; community: string; last_rev: number; told_rev: number }
    writer: {
      space: string
      repo: string
      community: string
      repo_rev: string
      hash: Uint8Array | null
      space_rev: number
      host: string | null
    }
  }
}

export {}
