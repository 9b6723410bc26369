/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Requests on standard input, each after its length in 32 bits; answers on standard output. Answers are written when
 * there is nothing more to read for the moment, so many requests may be under way.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "request.h"

/* Bytes read at once. */
#define HR_INPUT_BYTES (1 << 16)
/* Longest request: a table of an image. */
#define HR_REQUEST_BYTES_MAX (64 << 20)

static char hr_input[HR_INPUT_BYTES];
static size_t hr_input_at, hr_input_end;

/* Fills a buffer. False: the input has ended. */
static int hr_take(void *buffer, size_t bytes) {
    char *at = buffer;

    while (bytes) {
        size_t part;

        if (hr_input_at == hr_input_end) {
            ssize_t got;

            if (fflush(stdout))
                return 0;
            got = read(STDIN_FILENO, hr_input, sizeof(hr_input));
            if (got <= 0)
                return 0;
            hr_input_at = 0;
            hr_input_end = got;
        }
        part = hr_input_end - hr_input_at < bytes ? hr_input_end - hr_input_at : bytes;
        memcpy(at, hr_input + hr_input_at, part);
        hr_input_at += part;
        at += part;
        bytes -= part;
    }
    return 1;
}

static int hr_serve(void) {
    __u32 bytes, answer_bytes;
    const void *answer;
    void *request;

    while (hr_take(&bytes, sizeof(bytes))) {
        if (bytes > HR_REQUEST_BYTES_MAX) {
            fprintf(stderr, "a request of %u bytes is longer than %u\n", bytes, HR_REQUEST_BYTES_MAX);
            return EXIT_FAILURE;
        }
        request = malloc(bytes);
        if (!request || !hr_take(request, bytes))
            return EXIT_FAILURE;
        answer = hr_native_request(request, bytes, &answer_bytes);
        if (answer_bytes)
            fwrite(answer, answer_bytes, 1, stdout);
        free(request);
    }
    return EXIT_SUCCESS;
}

int main(void) {
    return hr_serve();
}
