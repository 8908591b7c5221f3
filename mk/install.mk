# mk/install.mk - make install DESTDIR=: where Debian's httpd and Dovecot look.
PREFIX ?= /usr
SYSCONFDIR ?= /etc
UNITDIR ?= /lib/systemd/system
I := install -D -m

install: all
	$I 755 $(B)/mailgun-smtpd $(DESTDIR)$(PREFIX)/sbin/mailgun-smtpd
	$I 755 $(B)/mailgunctl $(DESTDIR)$(PREFIX)/bin/mailgunctl
	$I 644 $(B)/mod_mailgun.so \
	    $(DESTDIR)$(PREFIX)/lib/apache2/modules/mod_mailgun.so
	$I 644 $(B)/libauthdb_mailgun.so \
	    $(DESTDIR)$(PREFIX)/lib/dovecot/modules/auth/libauthdb_mailgun.so
	$I 644 $(B)/lib20_mailgun_plugin.so \
	    $(DESTDIR)$(PREFIX)/lib/dovecot/modules/lib20_mailgun_plugin.so
	test -e $(DESTDIR)$(SYSCONFDIR)/mailgun/mailgun.conf || \
	    $I 644 conf/mailgun.conf \
	    $(DESTDIR)$(SYSCONFDIR)/mailgun/mailgun.conf
	$I 644 conf/httpd/mailgun.load \
	    $(DESTDIR)$(SYSCONFDIR)/apache2/mods-available/mailgun.load
	$I 644 conf/httpd/mailgun.conf \
	    $(DESTDIR)$(SYSCONFDIR)/apache2/mods-available/mailgun.conf
	$I 644 conf/httpd/mailgun-api.conf \
	    $(DESTDIR)$(SYSCONFDIR)/apache2/sites-available/mailgun-api.conf
	$I 644 conf/httpd/mailgun-tracking.conf \
	    $(DESTDIR)$(SYSCONFDIR)/apache2/sites-available/mailgun-tracking.conf
	$I 644 conf/dovecot-2.3.conf \
	    $(DESTDIR)$(PREFIX)/share/doc/mailgun/dovecot-2.3.conf
	$I 644 conf/dovecot-2.4.conf \
	    $(DESTDIR)$(PREFIX)/share/doc/mailgun/dovecot-2.4.conf
	$I 644 conf/systemd/mailgun-smtpd.service \
	    $(DESTDIR)$(UNITDIR)/mailgun-smtpd.service
	$I 644 conf/systemd/mailgun.tmpfiles \
	    $(DESTDIR)$(PREFIX)/lib/tmpfiles.d/mailgun.conf
	$I 644 conf/systemd/mailgun.sysusers \
	    $(DESTDIR)$(PREFIX)/lib/sysusers.d/mailgun.conf
.PHONY: install
