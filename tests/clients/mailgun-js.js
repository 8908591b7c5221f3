// npm mailgun-js 0.22 with endpoint '/v2': what an application does with it.
const fs = require('fs');
const Mailgun = require('mailgun-js');

const e = process.env;
const mailgun = Mailgun({
  apiKey: e.API_KEY, domain: e.DOMAIN, host: '127.0.0.1',
  port: Number(e.API_PORT), protocol: 'http:', endpoint: '/v2',
});

async function main() {
  const out = {};
  out.sent = await mailgun.messages().send({
    from: 'Excited User <me@' + e.DOMAIN + '>', to: 'js@client.test',
    subject: 'Grüße ✓', text: 'Testing some awesomeness!',
    html: '<b>Testing</b>', 'v:my-id': '17',
  });
  out.attached = await mailgun.messages().send({
    from: 'me@' + e.DOMAIN, to: 'js-attached@client.test', subject: 'file',
    text: 'see attachment',
    attachment: new mailgun.Attachment({
      data: Buffer.from('file of the client\n'), filename: 'año.txt',
    }),
  });
  out.mime = await mailgun.messages().sendMime({
    to: 'js-mime@client.test', message: fs.readFileSync(e.MIME_FILE, 'utf8'),
  });
  out.bad = await mailgun.messages().send({
    from: 'me@' + e.DOMAIN, to: 'js@client.test', subject: 'no body',
  }).catch((err) => ({ status: err.statusCode, message: err.message }));
  out.created = await mailgun.post('/' + e.DOMAIN + '/mailboxes', {
    mailbox: 'js@' + e.DOMAIN, password: 'js-secret' });
  out.mailboxes = await mailgun.get('/' + e.DOMAIN + '/mailboxes');
  out.changed = await mailgun.put('/' + e.DOMAIN + '/mailboxes/js', {
    password: 'js-secret-2' });
  out.deleted = await mailgun.delete('/' + e.DOMAIN + '/mailboxes/js');
  out.domains = await mailgun.domains().list();
  out.log = await mailgun.get('/' + e.DOMAIN + '/log', { limit: 2 });
  const wrong = Mailgun({
    apiKey: 'key-wrong', domain: e.DOMAIN, host: '127.0.0.1',
    port: Number(e.API_PORT), protocol: 'http:', endpoint: '/v2',
  });
  out.denied = await wrong.get('/' + e.DOMAIN + '/log')
    .catch((err) => ({ status: err.statusCode }));
  console.log(JSON.stringify(out));
}
main().catch((err) => { console.error(err); process.exit(1); });
