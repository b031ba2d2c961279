/* Answers past the HTTP library, where it takes none. For the files of src/http/server only. */
#ifndef HTTP_LAST_WORD_H
#define HTTP_LAST_WORD_H

#include "http_reply.h"
#include "http_wait.h"

/* Sends the complete reply on a connection that is about to end; `tls` is its TLS session, if there
 * is one. False: the client did not get all of it. */
bool http_last_word(const struct http_reply *reply, const struct http_connection *connection,
                    void *tls);

#endif
