/* mg_version.h - what programs say they are. */
#ifndef MG_VERSION_H
#define MG_VERSION_H

#define MG_VERSION "0.1.0"

#endif
