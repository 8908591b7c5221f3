# mailgun: mod_mailgun, mailgun-smtpd, mailgunctl, the Dovecot plugin.
#
#   make            build (build/release)
#   make demo       run the main job on loopback; make demo-stop
#   make test       check + e2e (+ clients where Node.js is)
#   make check      unit tests and the checks of names, docs, footguns
#   make e2e        the real stack; make fuzz, make tidy, make fmt
#   make bench-smtp bench-api bench-queue bench-hooks bench-sign bench-store bench-render bench-routes bench-lists
#   make install DESTDIR=
#
# TEST=1 builds with the test clock and failpoints (build/test);
# SANITIZER=address builds with ASan and UBSan (build/asan, TEST implied).

SHELL := /bin/bash
PYTHON := /usr/bin/python3
CC := gcc

ifneq ($(SANITIZER),)
VARIANT := asan
else ifneq ($(TEST),)
VARIANT := test
else
VARIANT := release
endif
BUILD ?= build
B := $(BUILD)/$(VARIANT)

include mk/build.mk
include mk/test.mk
include mk/fuzz.mk
include mk/bench-store.mk
include mk/install.mk
