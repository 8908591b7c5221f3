/* curl_loop.h - libcurl's multi interface on our loop: its sockets are watches,
 * its time-out is a timer. */
#ifndef CURL_LOOP_H
#define CURL_LOOP_H

#include <curl/curl.h>
#include "loop.h"

typedef struct curl_loop_t curl_loop_t;
/** A transfer ended; its handle is out of the loop already.
 * @param transfer  its CURLOPT_PRIVATE */
typedef void curl_loop_fn(void *transfer, CURLcode rc);

/** @param connections  how many are kept for the next transfer. Handles that
 * are still in it when the pool goes must be taken out before. */
apr_status_t curl_loop_create(curl_loop_t **pcurl, loop_t *loop,
                              curl_loop_fn *done, long connections,
                              apr_pool_t *p);
apr_status_t curl_loop_add(curl_loop_t *curl, CURL *easy);
/** Before its end; nobody is told. */
void curl_loop_remove(curl_loop_t *curl, CURL *easy);

#endif
