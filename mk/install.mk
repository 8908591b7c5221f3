# mk/install.mk - make install DESTDIR=
