/* mg_geo.c - where an address is, by libmaxminddb. */
#include "mg_geo.h"
#include "mg_status.h"
#include "mg_text.h"

#include <errno.h>
#include <maxminddb.h>
#include <string.h>

/* Longer names are damage. */
#define NAME_MAX_ 200

struct mg_geo_t {
    MMDB_s db;
};

static apr_status_t close_geo(void *data)
{
    MMDB_close(&((mg_geo_t *)data)->db);
    return APR_SUCCESS;
}

apr_status_t mg_geo_open(mg_geo_t **pgeo, const char *path, apr_pool_t *p)
{
    mg_geo_t *geo = apr_pcalloc(p, sizeof(*geo));
    int failed;

    *pgeo = NULL;
    failed = MMDB_open(path, MMDB_MODE_MMAP, &geo->db);
    if (failed)
        return failed == MMDB_FILE_OPEN_ERROR && errno ? errno : MG_EBADINPUT;
    apr_pool_cleanup_register(p, geo, close_geo, apr_pool_cleanup_null);
    *pgeo = geo;
    return APR_SUCCESS;
}

static const char *member(MMDB_entry_s *entry, const char *const *path,
                          apr_pool_t *p)
{
    MMDB_entry_data_s data;

    if (MMDB_aget_value(entry, &data, path) != MMDB_SUCCESS || !data.has_data
        || data.type != MMDB_DATA_TYPE_UTF8_STRING || data.data_size == 0
        || data.data_size > NAME_MAX_)
        return NULL;
    return mg_text_clean(data.utf8_string, data.data_size, p);
}

void mg_geo_find(mg_geo_place_t *place, const mg_geo_t *geo, const char *ip,
                 apr_pool_t *p)
{
    static const char *const country[] = { "country", "iso_code", NULL };
    static const char *const region[] = { "subdivisions", "0", "iso_code",
                                          NULL };
    static const char *const region_name[] = { "subdivisions", "0", "names",
                                               "en", NULL };
    static const char *const city[] = { "city", "names", "en", NULL };
    MMDB_lookup_result_s found;
    int gai = 0, failed = MMDB_SUCCESS;

    memset(place, 0, sizeof(*place));
    if (!geo || !ip)
        return;
    found = MMDB_lookup_string(&geo->db, ip, &gai, &failed);
    if (gai || failed != MMDB_SUCCESS || !found.found_entry)
        return;
    place->country = member(&found.entry, country, p);
    place->region = member(&found.entry, region, p);
    if (!place->region)
        place->region = member(&found.entry, region_name, p);
    place->city = member(&found.entry, city, p);
}
