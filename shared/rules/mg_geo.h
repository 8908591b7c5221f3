/* mg_geo.h - where an address is, by a MaxMind database (MailgunGeoIPFile).
 *
 * A database with cities (GeoLite2-City, or another with the same members)
 * tells all three, one with countries the country alone. It is mapped once:
 * a new file counts from the next (graceful) restart on.
 */
#ifndef MG_GEO_H
#define MG_GEO_H

#include <apr_pools.h>

typedef struct mg_geo_t mg_geo_t;

typedef struct {
    const char *country;  /* "US", ISO 3166-1 */
    const char *region;   /* "CA", ISO 3166-2 without the country; or its name */
    const char *city;     /* "San Francisco"; each NULL if unknown */
} mg_geo_place_t;

/** @return MG_EBADINPUT: no such database; an error of opening it */
apr_status_t mg_geo_open(mg_geo_t **pgeo, const char *path, apr_pool_t *p);
/** Any thread. @param geo  NULL: nothing is known
 *  @param ip  "192.0.2.1", "2001:db8::1"; what is no address is nowhere */
void mg_geo_find(mg_geo_place_t *place, const mg_geo_t *geo, const char *ip,
                 apr_pool_t *p);

#endif
