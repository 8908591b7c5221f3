/* mime_stream.c - where GMime's objects write to, and what they read from: a
 * sink of ours (mime_sink.c), and bytes and files that stay ours. Names and
 * layout of the class are GObject's.
 */
#include <apr_portable.h>
#include "mime_internal.h"

typedef struct {
    GMimeStream parent;
    mime_sink_t *sink;
} MimeSinkStream;

typedef struct {
    GMimeStreamClass parent;
} MimeSinkStreamClass;

static GType mime_sink_stream_get_type(void);
G_DEFINE_TYPE(MimeSinkStream, mime_sink_stream, GMIME_TYPE_STREAM)

/* The sink keeps its error; -1 makes GMime stop. */
static ssize_t write_to_sink(GMimeStream *stream, const char *bytes,
                             size_t len)
{
    mime_sink_t *sink = ((MimeSinkStream *)stream)->sink;

    mime_put(sink, bytes, len);
    stream->position += (gint64)len;
    return sink->rv == APR_SUCCESS ? (ssize_t)len : -1;
}

static int do_nothing(GMimeStream *stream)
{
    (void)stream;
    return 0;
}

static void mime_sink_stream_class_init(MimeSinkStreamClass *class)
{
    class->parent.write = write_to_sink;
    class->parent.flush = do_nothing;
    class->parent.close = do_nothing;
}

static void mime_sink_stream_init(MimeSinkStream *stream)
{
    stream->sink = NULL;
}

GMimeStream *mime_stream_to_sink(mime_sink_t *sink)
{
    MimeSinkStream *stream = g_object_new(mime_sink_stream_get_type(), NULL);

    g_mime_stream_construct(&stream->parent, 0, -1);
    stream->sink = sink;
    return &stream->parent;
}

static apr_status_t free_array(void *array)
{
    g_byte_array_free(array, FALSE);
    return APR_SUCCESS;
}

GMimeStream *mime_stream_of_bytes(const void *bytes, apr_size_t len,
                                  apr_pool_t *p)
{
    GByteArray *array = g_byte_array_new_take((guint8 *)(size_t)bytes, len);
    GMimeStream *stream = g_mime_stream_mem_new_with_byte_array(array);

    g_mime_stream_mem_set_owner(GMIME_STREAM_MEM(stream), FALSE);
    apr_pool_cleanup_register(p, array, free_array, apr_pool_cleanup_null);
    return stream;
}

GMimeStream *mime_stream_of_file(apr_file_t *file, apr_off_t offset,
                                 apr_size_t len)
{
    GMimeStream *stream;
    apr_os_file_t fd;

    if (apr_os_file_get(&fd, file) != APR_SUCCESS)
        return NULL;
    stream = g_mime_stream_fs_new_with_bounds(fd, offset,
                                              offset + (apr_off_t)len);
    g_mime_stream_fs_set_owner(GMIME_STREAM_FS(stream), FALSE);
    return stream;
}
