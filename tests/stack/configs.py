"""The configuration files of a test stack, made from conf/'s samples."""
import os

MAILGUN = """\
# mailgun.conf of a stack on loopback (tests, demo)
MailgunStore {store_url}
MailgunSecretFile {dir}/etc/secret
MailgunTrackingSecretFile {dir}/etc/tracking
MailgunGeoIPFile {dir}/etc/geo.mmdb
# tests click as soon as there is something to click on
MailgunMachineDelay off
MailgunRunDir {run}
MailgunSpoolDir {dir}/spool
MailgunMailDir {dir}/mail
MailgunUser {user}
MailgunGroup {group}
MailgunHostname mail.mailgun.test
MailgunListen 127.0.0.1:{smtp_port} mx
MailgunListen 127.0.0.1:{submission_port} submission
MailgunListen 127.0.0.1:{smtps_port} smtps
MailgunTLSCertificate {dir}/etc/cert.pem
MailgunTLSKey {dir}/etc/key.pem
MailgunTransport * 127.0.0.1:{mx_port}
{resolver}MailgunLMTP unix:{run}/dovecot/lmtp
MailgunFeedbackAddress fbl
MailgunTrackingForce on
MailgunHookAllow 127.0.0.0/8
MailgunMinFreeSpace 16M
MailgunLogLevel {log_level}
{extra}
"""

HTTPD = """\
# httpd of a stack on loopback: the API in clear and under TLS, another site
ServerRoot {dir}
ServerName localhost
DefaultRuntimeDir {run}
PidFile {run}/httpd.pid
ErrorLog {dir}/log/httpd.log
LogLevel info
Mutex file:{run} default
Listen 127.0.0.1:{api_port}
Listen 127.0.0.1:{api_tls_port}
Listen 127.0.0.1:{site_port}
{user_lines}
LoadModule mpm_event_module {modules}/mod_mpm_event.so
LoadModule authz_core_module {modules}/mod_authz_core.so
LoadModule socache_shmcb_module {modules}/mod_socache_shmcb.so
LoadModule ssl_module {modules}/mod_ssl.so
LoadModule mime_module {modules}/mod_mime.so
LoadModule status_module {modules}/mod_status.so
LoadModule remoteip_module {modules}/mod_remoteip.so
LoadModule mailgun_module {dir}/bin/mod_mailgun.so
TypesConfig /etc/mime.types
SSLSessionCache shmcb:{run}/ssl_cache(512000)
StartServers 1
ThreadsPerChild 64
MinSpareThreads 16
MaxSpareThreads 128
MaxRequestWorkers 128
MaxKeepAliveRequests 0
KeepAliveTimeout 15
Include {dir}/etc/mailgun.conf
{extra}
<VirtualHost 127.0.0.1:{api_port}>
    MailgunAPI on
    AllowEncodedSlashes NoDecode
</VirtualHost>
<VirtualHost 127.0.0.1:{api_tls_port}>
    SSLEngine on
    SSLCertificateFile {dir}/etc/cert.pem
    SSLCertificateKeyFile {dir}/etc/key.pem
    MailgunAPI on
    AllowEncodedSlashes NoDecode
</VirtualHost>
<VirtualHost 127.0.0.1:{api_port}>
    ServerName email.mailgun.test
    ServerAlias email.*
    MailgunTracking on
    RemoteIPHeader X-Forwarded-For
    RemoteIPInternalProxy 127.0.0.1
</VirtualHost>
<VirtualHost 127.0.0.1:{api_tls_port}>
    ServerName email.mailgun.test
    ServerAlias email.*
    SSLEngine on
    SSLCertificateFile {dir}/etc/cert.pem
    SSLCertificateKeyFile {dir}/etc/key.pem
    MailgunTracking on
</VirtualHost>
<VirtualHost 127.0.0.1:{site_port}>
    DocumentRoot {dir}/site
    <Directory {dir}/site>
        Require all granted
    </Directory>
</VirtualHost>
"""

DOVECOT = """\
# Dovecot of a stack on loopback, on top of conf/dovecot-2.3.conf
{sample}
base_dir = {run}/dovecot
state_dir = {run}/dovecot
instance_name = mailgun-test
log_path = {dir}/log/dovecot.log
info_log_path = {dir}/log/dovecot.log
listen = 127.0.0.1
ssl_cert = <{dir}/etc/cert.pem
ssl_key = <{dir}/etc/key.pem
mail_plugin_dir = {dir}/dovecot-modules
auth_failure_delay = 0
first_valid_uid = 1
import_environment = TZ MG_TEST_DIR
{user_lines}
service imap-login {{
  {chroot}
  inet_listener imap {{
    port = {imap_port}
  }}
  inet_listener imaps {{
    port = {imaps_port}
    ssl = yes
  }}
}}
service pop3-login {{
  {chroot}
  inet_listener pop3 {{
    port = {pop3_port}
  }}
  inet_listener pop3s {{
    port = {pop3s_port}
    ssl = yes
  }}
}}
service anvil {{
  {chroot}
  # no penalty for wrong passwords: all tests come from one address
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
service stats {{
  {chroot}
}}
service lmtp {{
  unix_listener lmtp {{
    mode = 0660
    user = {user}
    group = {group}
  }}
}}
"""


DOVECOT_2_4 = """\
# Dovecot 2.4 of a stack on loopback, on top of conf/dovecot-2.4.conf
{sample}
base_dir = {run}/dovecot
state_dir = {run}/dovecot
instance_name = mailgun-test
log_path = {dir}/log/dovecot.log
info_log_path = {dir}/log/dovecot.log
listen = 127.0.0.1
mail_plugin_dir = {dir}/dovecot-modules
auth_failure_delay = 0
first_valid_uid = 1
import_environment {{
  TZ = UTC
  MG_TEST_DIR = {dir}/faults
}}
service imap-login {{
  inet_listener imap {{
    port = {imap_port}
  }}
  inet_listener imaps {{
    port = {imaps_port}
  }}
}}
service pop3-login {{
  inet_listener pop3 {{
    port = {pop3_port}
  }}
  inet_listener pop3s {{
    port = {pop3s_port}
  }}
}}
service lmtp {{
  unix_listener lmtp {{
    mode = 0660
    user = {user}
    group = {group}
  }}
}}
"""


# Services that load our modules start with the sanitizer's runtime, and with the
# address space that it needs.
DOVECOT_SANITIZED = """\
default_vsz_limit = 0
import_environment = TZ MG_TEST_DIR LD_PRELOAD ASAN_OPTIONS
service imap {{
  executable = {dir}/bin/sanitized imap
}}
service pop3 {{
  executable = {dir}/bin/sanitized pop3
}}
service lmtp {{
  executable = {dir}/bin/sanitized lmtp
}}
service auth {{
  executable = {dir}/bin/sanitized auth
}}
service auth-worker {{
  executable = {dir}/bin/sanitized auth -w
}}
"""

SANITIZED = """\
#!/bin/sh
export LD_PRELOAD={runtime}
export ASAN_OPTIONS=detect_leaks=0:abort_on_error=1
program=$1
shift
exec /usr/lib/dovecot/$program "$@"
"""


def dovecot_sample(conf_dir, values, version="2.3"):
    """conf/dovecot-2.3.conf with this stack's paths and users."""
    with open(os.path.join(conf_dir, "dovecot-%s.conf" % version)) as f:
        text = f.read()
    for old, new in (("/etc/mailgun/mailgun.conf",
                      values["dir"] + "/etc/mailgun.conf"),
                     ("/var/lib/mailgun/spool", values["dir"] + "/spool"),
                     ("/etc/mailgun/tls/", values["dir"] + "/etc/"),
                     ("user = mailgun", "user = " + values["user"]),
                     ("group = mailgun", "group = " + values["group"])):
        text = text.replace(old, new)
    return text
