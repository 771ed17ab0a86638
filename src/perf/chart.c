/* SPDX-License-Identifier: BSD-2-Clause */
/* No script and nothing from elsewhere: values appear on hover by the style sheet alone, so that a plot works in a mail, in
 * a repository and behind a firewall. Colours are those of the reader's light or dark mode; series differ in their dashes,
 * too, and are named at their ends. */
#include "perf/chart.h"

#include "perf/compare.h"
#include "perf/print.h"

#include <math.h>

#define WIDTH  760.0
#define HEIGHT 400.0
#define LEFT   70.0
#define RIGHT  120.0 /* For the names. */
#define TOP    44.0
#define BOTTOM 52.0

const char weft_chart_style[] =
	"svg.chart{--ink:#1c1c1a;--dim:#6b6a65;--grid:#e3e2dc;--paper:#fcfcfb;--c0:#2a78d6;"
	"--c1:#c2500f;--c2:#1a7f5a;--c3:#7a4fc9;font:12px system-ui,sans-serif;max-width:100%;"
	"height:auto}\n"
	"@media(prefers-color-scheme:dark){svg.chart{--ink:#ecebe6;--dim:#a3a29b;--grid:#383835;"
	"--paper:#1a1a19;--c0:#5b9df0;--c1:#f08a4b;--c2:#43c491;--c3:#b08ef5}}\n"
	"svg.chart .paper{fill:var(--paper)}svg.chart text{fill:var(--dim)}\n"
	"svg.chart .title{fill:var(--ink);font-size:15px;font-weight:600}\n"
	"svg.chart .grid{stroke:var(--grid);stroke-width:1}\n"
	"svg.chart .line{fill:none;stroke:var(--c);stroke-width:2;stroke-linejoin:round}\n"
	"svg.chart .dot{fill:var(--c);stroke:var(--paper);stroke-width:1.5}\n"
	"svg.chart .hit{fill:transparent}svg.chart .name{fill:var(--c);font-weight:600}\n"
	"svg.chart .tip{visibility:hidden;pointer-events:none}\n"
	"svg.chart .tip text{fill:var(--paper)}svg.chart .tip rect{fill:var(--ink)}\n"
	"svg.chart .p:hover .tip,svg.chart .p:focus .tip{visibility:visible}\n"
	"svg.chart .p:hover .dot,svg.chart .p:focus .dot{r:6px}svg.chart .p:focus{outline:none}\n"
	"svg.chart .s0{--c:var(--c0)}svg.chart .s1{--c:var(--c1)}\n"
	"svg.chart .s2{--c:var(--c2)}svg.chart .s3{--c:var(--c3)}\n"
	"svg.chart .s1 .line{stroke-dasharray:7 4}svg.chart .s2 .line{stroke-dasharray:2 4}\n"
	"svg.chart .s3 .line{stroke-dasharray:9 3 2 3}\n";

struct scale {
	double low, high; /* Logarithms. */
	double from, to; /* Of the plane. */
};

void weft_chart_put_text(FILE *to, const char *text)
{
	for (; *text; text++) {
		if (*text == '<')
			fputs("&lt;", to);
		else if (*text == '>')
			fputs("&gt;", to);
		else if (*text == '&')
			fputs("&amp;", to);
		else if (*text == '"')
			fputs("&quot;", to);
		else
			fputc(*text, to);
	}
}

static double place(const struct scale *s, double value)
{
	return s->from + (log(value) - s->low) / (s->high - s->low) * (s->to - s->from);
}

static bool find_range(const struct weft_chart *chart, bool is_x, double *low, double *high)
{
	*low = INFINITY;
	*high = 0;
	for (uint32_t k = 0; k < chart->series; k++)
		for (uint32_t i = 0; i < chart->s[k].points; i++) {
			double v = is_x ? chart->s[k].x[i] : chart->s[k].y[i];

			if (chart->s[k].y[i] <= 0)
				continue;
			*low = fmin(*low, v);
			*high = fmax(*high, v);
		}
	return *high > 0;
}

/* As people write them: 0.001, 20, 5k. */
static void value_text(double v, char *buf, size_t len)
{
	if (v >= 1e6)
		snprintf(buf, len, "%.3gM", v / 1e6);
	else if (v >= 1e4)
		snprintf(buf, len, "%.3gk", v / 1e3);
	else if (v < 0.001) /* Nobody reads 1e-05. */
		snprintf(buf, len, "%.*f", (int)ceil(-log10(v) - 1e-9), v);
	else
		snprintf(buf, len, v >= 1000 ? "%.0f" : "%.3g", v);
}

static void print_grid_x(FILE *to, const struct scale *x)
{
	double octaves = (x->high - x->low) / log(2);
	int step = octaves > 18 ? 4 : octaves > 9 ? 2 : 1;
	char text[32];

	for (int e = 0; e < 50; e += step) {
		double value = exp2(e);

		if (log(value) < x->low - 1e-9 || log(value) > x->high + 1e-9)
			continue;
		fprintf(to,
			"<line class='grid' x1='%.1f' x2='%.1f' y1='%.1f' y2='%.1f'/>"
			"<text x='%.1f' y='%.1f' text-anchor='middle'>%s</text>\n",
			place(x, value), place(x, value), TOP, HEIGHT - BOTTOM, place(x, value),
			HEIGHT - BOTTOM + 18,
			weft_perf_size_text((uint64_t)value, text, sizeof(text)));
	}
}

static void print_grid_y(FILE *to, const struct scale *y)
{
	bool is_wide = y->high - y->low > log(2000);
	char text[32];

	for (int e = -9; e < 15; e++)
		for (uint32_t k = 0; k < (is_wide ? 1 : 3); k++) {
			double value = (k == 0 ? 1 : k == 1 ? 2 : 5) * pow(10, e);

			if (log(value) < y->low - 1e-9 || log(value) > y->high + 1e-9)
				continue;
			value_text(value, text, sizeof(text));
			fprintf(to,
				"<line class='grid' x1='%.1f' x2='%.1f' y1='%.1f' y2='%.1f'/>"
				"<text x='%.1f' y='%.1f' text-anchor='end'>%s</text>\n",
				LEFT, WIDTH - RIGHT, place(y, value), place(y, value), LEFT - 8,
				place(y, value) + 4, text);
		}
}

static void print_point(FILE *to, const struct weft_chart *chart, uint32_t k, uint32_t i, double x,
			double y)
{
	char size[32], value[32], text[160];
	double width, left;
	int len;

	value_text(chart->s[k].y[i], value, sizeof(value));
	len = snprintf(text, sizeof(text), "%.40s, %s: %s %s", chart->s[k].name,
		       weft_perf_size_text((uint64_t)chart->s[k].x[i], size, sizeof(size)), value,
		       chart->unit);
	width = len * 6.6 + 16;
	left = fmin(fmax(x - width / 2, 4), WIDTH - width - 4);
	fprintf(to,
		"<g class='p' tabindex='0'><circle class='hit' cx='%.1f' cy='%.1f' r='11'/>"
		"<circle class='dot' cx='%.1f' cy='%.1f' r='4'/><g class='tip'>"
		"<rect x='%.1f' y='%.1f' width='%.1f' height='22' rx='4'/>"
		"<text x='%.1f' y='%.1f' text-anchor='middle'>",
		x, y, x, y, left, y - 34, width, left + width / 2, y - 19);
	weft_chart_put_text(to, text);
	fputs("</text></g></g>\n", to);
}

static double end_of(const struct weft_chart *chart, uint32_t k, const struct scale *y)
{
	for (uint32_t i = chart->s[k].points; i-- > 0;)
		if (chart->s[k].y[i] > 0)
			return place(y, chart->s[k].y[i]);
	return HEIGHT;
}

/* Names stand at the ends of the curves, and give way to each other. */
static void print_name(FILE *to, const struct weft_chart *chart, uint32_t k, const struct scale *x,
		       const struct scale *y)
{
	double at = end_of(chart, k, y);

	for (uint32_t other = 0; other < k; other++)
		if (fabs(at - end_of(chart, other, y)) < 16)
			at = end_of(chart, other, y) + (at >= end_of(chart, other, y) ? 16 : -16);
	fprintf(to, "<text class='name' x='%.1f' y='%.1f'>", x->to + 10, at + 4);
	weft_chart_put_text(to, chart->s[k].name);
	fputs("</text>\n", to);
}

static void print_lines(FILE *to, const struct weft_chart *chart, const struct scale *x,
			const struct scale *y)
{
	for (uint32_t k = 0; k < chart->series; k++) {
		fprintf(to, "<g class='s%u'><polyline class='line' points='", k);
		for (uint32_t i = 0; i < chart->s[k].points; i++)
			if (chart->s[k].y[i] > 0)
				fprintf(to, "%.1f,%.1f ", place(x, chart->s[k].x[i]),
					place(y, chart->s[k].y[i]));
		fputs("'/>\n", to);
		print_name(to, chart, k, x, y);
		fputs("</g>\n", to);
	}
	/* Above all lines, so that each can be reached. */
	for (uint32_t k = 0; k < chart->series; k++) {
		fprintf(to, "<g class='s%u'>\n", k);
		for (uint32_t i = 0; i < chart->s[k].points; i++)
			if (chart->s[k].y[i] > 0)
				print_point(to, chart, k, i, place(x, chart->s[k].x[i]),
					    place(y, chart->s[k].y[i]));
		fputs("</g>\n", to);
	}
}

void weft_chart_print(FILE *to, const struct weft_chart *chart, bool is_alone)
{
	struct scale x = { .from = LEFT, .to = WIDTH - RIGHT };
	struct scale y = { .from = HEIGHT - BOTTOM, .to = TOP };
	double low, high;

	fprintf(to,
		"<svg class='chart' xmlns='http://www.w3.org/2000/svg' viewBox='0 0 %.0f %.0f' "
		"width='%.0f' height='%.0f' role='img' aria-label='",
		WIDTH, HEIGHT, WIDTH, HEIGHT);
	weft_chart_put_text(to, chart->title);
	fputs("'>\n", to);
	if (is_alone)
		fprintf(to, "<style>\n%s</style>\n", weft_chart_style);
	fprintf(to,
		"<rect class='paper' width='%.0f' height='%.0f'/><text class='title' x='%.0f' "
		"y='24'>",
		WIDTH, HEIGHT, LEFT);
	weft_chart_put_text(to, chart->title);
	fprintf(to, " (%s)</text>\n", chart->unit);
	if (find_range(chart, true, &low, &high)) {
		x.low = log(low);
		x.high = low < high ? log(high) : log(high * 2);
		find_range(chart, false, &low, &high);
		y.low = log(low / 1.15);
		y.high = log(high * 1.15);
		print_grid_x(to, &x);
		print_grid_y(to, &y);
		fprintf(to, "<text x='%.1f' y='%.1f' text-anchor='middle'>message size</text>\n",
			(x.from + x.to) / 2, HEIGHT - 12);
		print_lines(to, chart, &x, &y);
	}
	fputs("</svg>\n", to);
}

void weft_chart_make(struct weft_chart *chart, const struct weft_perf_run *a,
		     const struct weft_perf_run *b, bool is_time)
{
	const struct weft_perf_run *runs[] = { a, b };

	chart->title = is_time ? "Time" : "Bandwidth";
	chart->unit = is_time ? "us" : "GB/s";
	chart->series = b ? 2 : 1;
	for (uint32_t k = 0; k < chart->series; k++) {
		chart->s[k].name = weft_perf_run_name(runs[k]);
		chart->s[k].points = runs[k]->rows;
		for (uint32_t i = 0; i < runs[k]->rows; i++) {
			const struct weft_perf_row *row = &runs[k]->row[i];

			chart->s[k].x[i] = (double)row->bytes;
			chart->s[k].y[i] = is_time ? row->pass[0].mean_ns / 1e3
						   : weft_perf_busbw(runs[k], row, 0);
		}
	}
}
