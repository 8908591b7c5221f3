// npm nodemailer over SMTP: STARTTLS on 587, TLS on 465.
const nodemailer = require('nodemailer');

const e = process.env;

async function send(port, secure, to) {
  const transport = nodemailer.createTransport({
    host: '127.0.0.1', port: Number(port), secure, requireTLS: !secure,
    auth: { user: e.SMTP_LOGIN, pass: e.SMTP_PASSWORD },
    tls: { rejectUnauthorized: false },
  });
  const info = await transport.sendMail({
    from: 'me@' + e.DOMAIN, to, subject: 'Über nodemailer',
    text: 'plain', html: '<p>html</p>',
    attachments: [{ filename: 'a.txt', content: 'attached' }],
  });
  transport.close();
  return { accepted: info.accepted, response: info.response,
    messageId: info.messageId };
}

async function main() {
  console.log(JSON.stringify({
    starttls: await send(e.SUBMISSION_PORT, false, 'nm587@client.test'),
    tls: await send(e.SMTPS_PORT, true, 'nm465@client.test'),
  }));
}
main().catch((err) => { console.error(err); process.exit(1); });
