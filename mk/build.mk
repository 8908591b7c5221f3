# mk/build.mk - how things are compiled. Sources are found by wildcard: a new
# file in a folder is part of what that folder builds.

PKGS := apr-1 apr-util-1 sqlite3 libpq openssl libpcre2-8 jansson \
        gmime-3.0 libidn2 libmaxminddb gumbo
PKGS_SMTPD := libcares libcurl
APXS := $(firstword $(wildcard /usr/bin/apxs /usr/bin/apxs2))

WARN := -Wall -Wextra -Wshadow -Wmissing-prototypes -Wstrict-prototypes \
        -Wformat=2 -Werror
HARDEN := -fstack-protector-strong -D_FORTIFY_SOURCE=2 \
          -fstack-clash-protection -fcf-protection
INCLUDES := -Ishared/base -Ishared/store -Ishared/mail -Ishared/rules \
            -Ishared/hooks -Ismtpd
OPT := -O2 -g
ifeq ($(VARIANT),test)
DEFS := -DMG_TEST
endif
ifeq ($(VARIANT),asan)
DEFS := -DMG_TEST
OPT := -O1 -g -fno-omit-frame-pointer
SAN := -fsanitize=address,undefined -fno-sanitize-recover=undefined
HARDEN := -fstack-protector-strong
endif
CFLAGS = -std=gnu11 $(OPT) $(WARN) $(HARDEN) $(DEFS) $(SAN) -fPIC \
         -D_GNU_SOURCE -pthread $(INCLUDES)
LDFLAGS = $(SAN) -Wl,-z,relro,-z,now -pthread

cflags_pkg = $(shell pkg-config --cflags $(PKGS) $(PKGS_SMTPD))
# -isystem: other people's headers are not held to our warnings
PKG_CFLAGS := $(patsubst -I%,-isystem %,$(cflags_pkg))
LIBS := $(shell pkg-config --libs $(PKGS) 2>/dev/null)
LIBS_SMTPD := $(shell pkg-config --libs $(PKGS_SMTPD) 2>/dev/null)

LIB_SRC := $(sort $(wildcard shared/base/*.c shared/store/*.c shared/mail/*.c \
           shared/rules/*.c shared/hooks/*.c))
CTL_SRC := $(sort $(wildcard shared/cli/*.c))
SMTPD_SRC := $(sort $(wildcard smtpd/*.c smtpd/*/*.c))
MOD_SRC := $(sort $(wildcard mod_mailgun/*.c))

obj = $(patsubst %.c,$(B)/obj/%.o,$(1))

# "CC smtpd/conn.c"; V=1 shows the whole command, make -s nothing
ifeq ($(V),)
say = @$(if $(findstring s,$(firstword -$(MAKEFLAGS))),,echo $(1) $(2);)
endif

all: $(B)/mailgunctl $(B)/mailgun-smtpd $(B)/mod_mailgun.so dovecot-plugin

$(B)/obj/%.o: %.c
	@mkdir -p $(@D)
	$(call say,CC,$<)$(CC) $(CFLAGS) $(PKG_CFLAGS) $(EXTRA_CFLAGS) -MMD -MP -c $< -o $@

# schema_NNNN.sql becomes a C string
$(B)/gen/schema.h: $(sort $(wildcard shared/store/schema_*.sql)) mk/sql2c.py
	@mkdir -p $(@D)
	$(call say,GEN,$@)$(PYTHON) mk/sql2c.py $(filter %.sql,$^) > $@
$(call obj,shared/store/mg_migrate.c): $(B)/gen/schema.h
$(call obj,shared/store/mg_migrate.c): EXTRA_CFLAGS += -I$(B)/gen

$(B)/libmailgun.a: $(call obj,$(LIB_SRC))
	@rm -f $@
	$(call say,AR,$@)ar rcs $@ $^

$(B)/mailgunctl: $(call obj,$(CTL_SRC)) $(B)/libmailgun.a
	$(call say,LD,$@)$(CC) $(LDFLAGS) -o $@ $^ $(LIBS)

$(B)/mailgun-smtpd: $(call obj,$(SMTPD_SRC)) $(B)/libmailgun.a
	$(call say,LD,$@)$(CC) $(LDFLAGS) -o $@ $^ $(LIBS) $(LIBS_SMTPD)

# httpd loads modules twice and unloads them on restart: -z nodelete
$(call obj,$(MOD_SRC)): EXTRA_CFLAGS += -Imod_mailgun \
    -isystem $(shell $(APXS) -q INCLUDEDIR 2>/dev/null)
$(B)/mod_mailgun.so: $(call obj,$(MOD_SRC)) $(B)/libmailgun.a
	$(call say,LD,$@)$(CC) -shared $(LDFLAGS) -Wl,-z,nodelete -Wl,-z,defs \
	    -Wl,--unresolved-symbols=ignore-all -o $@ $(call obj,$(MOD_SRC)) \
	    -Wl,--exclude-libs,ALL $(B)/libmailgun.a $(LIBS)

# two shared objects: login (opens the store), mail plugin (mailboxd only)
DOVECOT_INC := -DHAVE_CONFIG_H -isystem /usr/include/dovecot
$(B)/obj/dovecot-plugin/%.o: EXTRA_CFLAGS += $(DOVECOT_INC)
$(B)/libauthdb_mailgun.so: \
    $(call obj,$(sort $(wildcard dovecot-plugin/authdb*.c))) $(B)/libmailgun.a
	$(call say,LD,$@)$(CC) -shared $(LDFLAGS) -Wl,-z,nodelete -Wl,--exclude-libs,ALL \
	    -o $@ $^ $(LIBS)
# of libmailgun the mail plugin has the failpoints alone (test builds)
$(B)/lib20_mailgun_plugin.so: \
    $(call obj,$(sort $(wildcard dovecot-plugin/plugin*.c)) \
    $(if $(findstring MG_TEST,$(DEFS)),shared/base/mg_fault.c))
	$(call say,LD,$@)$(CC) -shared $(LDFLAGS) -o $@ $^
dovecot-plugin: $(B)/libauthdb_mailgun.so $(B)/lib20_mailgun_plugin.so
.PHONY: all dovecot-plugin

# objects of tests are kept too
.SECONDARY:

-include $(shell find $(B)/obj -name '*.d' 2>/dev/null)

deps:
	@mk/deps
clean:
	rm -rf build
fmt:
	clang-format -i $$(git ls-files '*.c' '*.h' | grep -v dovecot-plugin)
.PHONY: deps clean fmt
