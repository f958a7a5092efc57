/** Certificates that sign themselves, for servers of this machine; a test that trusts one makes it an authority of the process. */
import { generateKeyPairSync, sign } from 'node:crypto'

/** A certificate for `name`, signed by its own key: just enough DER (RFC 5280 §4.1, version 1). Years as two digits. */
export function certificateFor(name: string, years: { from: string; to: string }) {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const der = (tag: number, ...parts: Uint8Array[]) => {
    const content = Buffer.concat(parts)
    const length = content.length < 128 ? [content.length] : [0x82, content.length >> 8, content.length & 0xff]
    return Buffer.concat([Buffer.from([tag, ...length]), content])
  }
  const ecdsaWithSha256 = der(0x30, der(0x06, Buffer.from('2a8648ce3d040302', 'hex')))
  const commonName = der(0x30, der(0x06, Buffer.from('550403', 'hex')), der(0x0c, Buffer.from(name)))
  const who = der(0x30, der(0x31, commonName))
  const time = (year: string) => der(0x17, Buffer.from(`${year}0101000000Z`))
  const validity = der(0x30, time(years.from), time(years.to))
  const spki = publicKey.export({ format: 'der', type: 'spki' })
  const body = der(0x30, der(0x02, Buffer.from([1])), ecdsaWithSha256, who, validity, who, spki)
  const signature = der(0x03, Buffer.from([0]), sign('sha256', body, privateKey))
  const certificate = der(0x30, body, ecdsaWithSha256, signature).toString('base64')
  return {
    key: privateKey.export({ format: 'pem', type: 'pkcs8' }),
    cert: `-----BEGIN CERTIFICATE-----\n${certificate.match(/.{1,64}/g)?.join('\n')}\n-----END CERTIFICATE-----\n`,
  }
}
