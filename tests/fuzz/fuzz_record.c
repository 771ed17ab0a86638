/* SPDX-License-Identifier: BSD-2-Clause */
/* A recording of `weft top`, of any bytes: two samples out of it, their rates, and everything that is made of them. What
 * is written of a sample is read as the same sample. */
#include "fuzz.h"

#include "watch/metrics.h"
#include "watch/record.h"
#include "watch/screen.h"

#include <stdlib.h>
#include <string.h>

static char *written(const struct weft_sample *sample, const struct weft_rates *rates,
		     size_t *len_out)
{
	char *text = NULL;
	FILE *to = open_memstream(&text, len_out);

	if (!to)
		abort();
	weft_record_write(to, sample, rates);
	fclose(to);
	return text;
}

static void check_again(const struct weft_sample *sample)
{
	size_t len, len_again;
	char why[300], *text = written(sample, NULL, &len), *text_again;
	struct weft_sample *again = weft_record_parse(text, len, why, sizeof(why));

	FUZZ_CHECK(again, "own words are refused: %s", why);
	text_again = written(again, NULL, &len_again);
	FUZZ_CHECK(len == len_again && !memcmp(text, text_again, len), "read as another sample");
	free(text);
	free(text_again);
	weft_sample_free(again);
}

static void show(const struct weft_sample *sample, const struct weft_rates *rates, uint8_t how)
{
	struct weft_metrics_options options = { how & 1, true, true };
	struct weft_screen screen = { .width = how % 140 + 1,
				      .height = how % 50,
				      .utf8 = how & 2,
				      .view = (enum weft_screen_view)(how % 4),
				      .sort = (enum weft_screen_sort)(how % WEFT_SORT_COUNT),
				      .help = how % 7 == 0,
				      .mode = "",
				      .scroll = how * 3u };
	struct weft_screen_lines lines;
	char *text = NULL;
	size_t len = 0;
	FILE *to = open_memstream(&text, &len);

	if (!to)
		abort();
	weft_screen_push(&screen, rates);
	if (weft_screen_compose(&screen, sample, rates, &lines)) {
		FUZZ_CHECK(!screen.height || lines.count <= screen.height, "%u lines on %u",
			   lines.count, screen.height);
		weft_screen_free(&lines);
	}
	weft_metrics_write(to, sample, rates, &options);
	fclose(to);
	free(text);
	free(written(sample, rates, &len));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data, *end = memchr(data, '\n', size);
	size_t first = end ? (size_t)(end - text) : size;
	struct weft_sample *before, *now;
	struct weft_rates rates;
	char why[300];

	before = weft_record_parse(text, first, why, sizeof(why));
	if (!before)
		return 0;
	check_again(before);
	now = weft_record_parse(text + first, size - first, why, sizeof(why));
	if (weft_rates_init(now ? before : NULL, now ? now : before, 1, &rates)) {
		show(now ? now : before, &rates, (uint8_t)size);
		weft_rates_fini(&rates);
	}
	weft_sample_free(before);
	weft_sample_free(now);
	return 0;
}
