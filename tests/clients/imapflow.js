// npm imapflow: reads a mailbox, files a message away, asks for the quota.
const { ImapFlow } = require('imapflow');

const e = process.env;

async function main() {
  const client = new ImapFlow({
    host: '127.0.0.1', port: Number(e.IMAPS_PORT), secure: true,
    auth: { user: e.MAILBOX, pass: e.MAILBOX_PASSWORD },
    tls: { rejectUnauthorized: false }, logger: false,
  });
  await client.connect();
  const out = { subjects: [] };
  const lock = await client.getMailboxLock('INBOX');
  try {
    for await (const m of client.fetch('1:*', { envelope: true })) {
      out.subjects.push(m.envelope.subject);
    }
    await client.mailboxCreate('Archive');
    const moved = await client.messageMove('1:*', 'Archive');
    out.moved = moved.uidMap ? moved.uidMap.size : 0;
  } finally {
    lock.release();
  }
  out.archive = (await client.status('Archive', { messages: true })).messages;
  out.quota = await client.getQuota('INBOX');
  await client.append('INBOX', 'Subject: appended\r\n\r\nby imapflow\r\n');
  out.inbox = (await client.status('INBOX', { messages: true })).messages;
  await client.logout();
  console.log(JSON.stringify(out));
}
main().catch((err) => { console.error(err); process.exit(1); });
