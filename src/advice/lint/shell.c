/* SPDX-License-Identifier: BSD-2-Clause */
/* The reader of scripts.
 *
 * Rules ask simple questions of scripts: which variables are set to what, and with which flags a command is called.
 * For that, quoting, continued lines, comments and here-documents have to be right, and nothing has to be run. So
 * this reads words, and takes everything else (conditions, loops, functions) for a place where a command may
 * begin. Where a script is wrong, the shell says it better. */
#include "advice/lint/shell.h"

#include <ctype.h>
#include <string.h>

void weft_shell_init(struct weft_shell *s, const struct weft_text *text)
{
	s->text = text;
	s->at = s->words = s->heres = s->dues = s->too_long = 0;
	weft_text_builder_init(&s->built);
}

void weft_shell_fini(struct weft_shell *s)
{
	weft_text_builder_fini(&s->built);
}

static bool at_end(const struct weft_shell *s)
{
	return s->at >= s->text->len;
}

static char peek_at(const struct weft_shell *s, uint32_t ahead)
{
	return ahead < s->text->len - s->at ? s->text->bytes[s->at + ahead] : '\0';
}

static char peek(const struct weft_shell *s)
{
	return peek_at(s, 0);
}

static void put(struct weft_shell *s)
{
	weft_text_builder_put(&s->built, peek(s), weft_text_file_at(s->text, s->at));
	s->at++;
}

static uint32_t end_of_line(const struct weft_shell *s, uint32_t at)
{
	const char *newline = memchr(s->text->bytes + at, '\n', s->text->len - at);

	return newline ? (uint32_t)(newline - s->text->bytes) : s->text->len;
}

static bool ends_continued(const struct weft_shell *s)
{
	return peek(s) == '\\' &&
	       (peek_at(s, 1) == '\n' || (peek_at(s, 1) == '\r' && peek_at(s, 2) == '\n'));
}

/* Spaces, continued lines, and comments, but not the end of the line. */
static void skip_space(struct weft_shell *s)
{
	for (;;) {
		if (ends_continued(s))
			s->at += peek_at(s, 1) == '\r' ? 3 : 2;
		else if (peek(s) == ' ' || peek(s) == '\t' || peek(s) == '\r')
			s->at++;
		else
			return;
	}
}

/* The bodies of the here-documents that are due, from the beginning of a line. */
static void read_heres(struct weft_shell *s)
{
	for (uint32_t i = 0; i < s->dues; i++) {
		uint32_t body = s->at, len = (uint32_t)strlen(s->due[i].name);
		bool found = false;

		while (!at_end(s) && !found) {
			uint32_t line = s->at, end = end_of_line(s, s->at), last = end;

			while (s->due[i].tabs && line < end && s->text->bytes[line] == '\t')
				line++;
			if (last > line && s->text->bytes[last - 1] == '\r')
				last--;
			found = last - line == len &&
				!memcmp(s->text->bytes + line, s->due[i].name, len);
			if (found && s->heres < WEFT_SHELL_HERES_MAX)
				s->here[s->heres++] = (struct weft_shell_here){ body, s->at - body,
										s->due[i].expands };
			s->at = WEFT_MIN(end + 1, s->text->len);
		}
	}
	s->dues = 0;
}

/* Past a $(...), ${...} or `...`, which is copied as it stands. */
static void put_expansion(struct weft_shell *s)
{
	char open = peek_at(s, 1), close = open == '(' ? ')' : '}';
	uint32_t depth = 0;
	char quote = '\0';

	if (peek(s) == '`') {
		do
			put(s);
		while (!at_end(s) && peek(s) != '`');
		if (!at_end(s))
			put(s);
		return;
	}
	put(s);
	if (open != '(' && open != '{')
		return;
	while (!at_end(s)) {
		char c = peek(s);

		if (c == '\\' && s->at + 1 < s->text->len) {
			put(s);
		} else if (quote) {
			quote = c == quote ? '\0' : quote;
		} else if (c == '\'' || c == '"') {
			quote = c;
		} else {
			depth += c == open;
			depth -= c == close;
		}
		put(s);
		if (!depth)
			return;
	}
}

static bool begins_expansion(const struct weft_shell *s)
{
	char next = peek_at(s, 1);

	return peek(s) == '`' || (peek(s) == '$' && (isalnum((unsigned char)next) || next == '_' ||
						     (next && strchr("({@*#?!-$", next))));
}

static void read_double_quoted(struct weft_shell *s, struct weft_shell_word *w)
{
	s->at++;
	while (!at_end(s) && peek(s) != '"') {
		if (ends_continued(s)) {
			s->at += peek_at(s, 1) == '\r' ? 3 : 2;
		} else if (peek(s) == '\\' && peek_at(s, 1) && strchr("$`\"\\", peek_at(s, 1))) {
			s->at++;
			put(s);
		} else if (begins_expansion(s)) {
			w->dynamic = true;
			put_expansion(s);
		} else {
			put(s);
		}
	}
	s->at += !at_end(s);
}

static bool ends_word(const struct weft_shell *s)
{
	return at_end(s) || (peek(s) && strchr(" \t\r\n;&|<>()", peek(s)));
}

static void read_word(struct weft_shell *s, struct weft_shell_word *w)
{
	*w = (struct weft_shell_word){ .from = s->built.len,
				       .at = weft_text_file_at(s->text, s->at) };
	while (!ends_word(s)) {
		if (ends_continued(s)) {
			s->at += peek_at(s, 1) == '\r' ? 3 : 2;
		} else if (peek(s) == '\\' && s->at + 1 < s->text->len) {
			s->at++;
			put(s);
		} else if (peek(s) == '\'') {
			s->at++;
			while (!at_end(s) && peek(s) != '\'')
				put(s);
			s->at += !at_end(s);
		} else if (peek(s) == '"') {
			read_double_quoted(s, w);
		} else if (begins_expansion(s)) {
			w->dynamic = true;
			put_expansion(s);
		} else {
			w->dynamic |= peek(s) == '*' || peek(s) == '?';
			put(s);
		}
	}
	w->len = s->built.len - w->from;
	w->end = s->at ? weft_text_file_at(s->text, s->at - 1) + 1 : 0;
	weft_text_builder_put(&s->built, '\0', w->end);
}

/* Behind `<<` or `<<-`: the word that ends it. */
static void read_here_name(struct weft_shell *s)
{
	uint32_t from = s->built.len, len;
	struct weft_shell_word w;
	bool tabs = peek(s) == '-', quoted;

	s->at += tabs;
	skip_space(s);
	quoted = peek(s) == '\'' || peek(s) == '"' || peek(s) == '\\';
	read_word(s, &w);
	len = w.len;
	if (s->dues < WEFT_SHELL_HERES_MAX && len && len < sizeof(s->due[0].name) &&
	    !s->built.failed) {
		memcpy(s->due[s->dues].name, s->built.bytes + from, len);
		s->due[s->dues].name[len] = '\0';
		s->due[s->dues].expands = !quoted;
		s->due[s->dues].tabs = tabs;
		s->dues++;
	}
	s->built.len = from;
}

/* A redirection: it is no part of the command's words. */
static void skip_redirection(struct weft_shell *s)
{
	struct weft_shell_word w, *before = s->words ? &s->word[s->words - 1] : NULL;
	uint32_t from;

	/* The 2 of "2>&1". */
	if (before && before->len == 1 && isdigit((unsigned char)s->built.bytes[before->from]) &&
	    before->end == weft_text_file_at(s->text, s->at))
		s->words--;
	if (peek(s) == '<' && peek_at(s, 1) == '<' && peek_at(s, 2) != '<') {
		s->at += 2;
		read_here_name(s);
		return;
	}
	while (peek(s) == '<' || peek(s) == '>' || peek(s) == '&')
		s->at++;
	if (peek(s) == '(') /* <(command): what is in it is read as a command of its own. */
		return;
	skip_space(s);
	from = s->built.len;
	read_word(s, &w);
	s->built.len = from;
}

/* Words before a command that are no part of it; a `$` is the prompt of somebody's terminal. */
static bool is_before_command(const char *word)
{
	static const char *const words[] = { "if",    "then",  "elif", "else", "fi",     "while",
					     "until", "do",    "done", "for",  "case",   "esac",
					     "in",    "{",     "}",    "!",    "time",   "exec",
					     "sudo",  "nohup", "$",    "eval", "command" };

	for (size_t i = 0; i < WEFT_ARRAY_SIZE(words); i++)
		if (!strcmp(word, words[i]))
			return true;
	return false;
}

static bool is_directive(const struct weft_shell *s)
{
	static const char *const names[] = { "#SBATCH", "#PBS", "#$ " };
	bool begins = !s->at || s->text->bytes[s->at - 1] == '\n';

	for (size_t i = 0; begins && i < WEFT_ARRAY_SIZE(names); i++)
		if (s->text->len - s->at >= strlen(names[i]) &&
		    !memcmp(s->text->bytes + s->at, names[i], strlen(names[i])))
			return true;
	return false;
}

/* At a `#`: to the end of the line; false: it is a directive, whose words are to be read. */
static bool skip_comment(struct weft_shell *s)
{
	if (peek(s) != '#' || (!s->words && is_directive(s)))
		return false;
	s->at = end_of_line(s, s->at);
	return true;
}

/* The builder may have moved its bytes while it grew. */
static void set_texts(struct weft_shell *s)
{
	if (s->built.failed)
		s->words = 0;
	for (uint32_t i = 0; i < s->words; i++)
		s->word[i].text = s->built.bytes + s->word[i].from;
}

static void add_word(struct weft_shell *s)
{
	struct weft_shell_word w;

	read_word(s, &w);
	if (s->built.failed || s->words == WEFT_SHELL_WORDS_MAX)
		return;
	if (!s->words && is_before_command(s->built.bytes + w.from)) {
		s->built.len = w.from;
		return;
	}
	s->word[s->words++] = w;
}

static void read_command(struct weft_shell *s)
{
	weft_text_builder_reset(&s->built);
	s->words = s->heres = 0;
	while (!at_end(s)) {
		char c;

		skip_space(s);
		if (at_end(s))
			break;
		c = peek(s);
		if (c == '\n') {
			s->at++;
			read_heres(s);
			if (s->words || s->built.failed)
				break;
		} else if (skip_comment(s)) {
			continue;
		} else if (c == '<' || c == '>') {
			skip_redirection(s);
		} else if (strchr(";&|()", c) && c) {
			s->at++;
			if (c == '&' && (peek(s) == '>' || peek(s) == '<')) {
				skip_redirection(s);
				continue;
			}
			if (s->words || s->built.failed)
				break;
		} else {
			add_word(s);
		}
	}
}

bool weft_shell_next(struct weft_shell *s)
{
	do {
		read_command(s);
		s->too_long += s->built.failed;
	} while (s->built.failed && !at_end(s));
	set_texts(s);
	return s->words > 0;
}

struct weft_text weft_shell_word_text(const struct weft_shell *s, uint32_t word)
{
	struct weft_text text = weft_text_builder_text(&s->built);
	const struct weft_shell_word *w = &s->word[word];

	text.bytes += w->from;
	text.from += w->from;
	text.len = w->len;
	return text;
}

uint32_t weft_shell_assigned(const char *word)
{
	uint32_t len = 0;

	if (!isalpha((unsigned char)word[0]) && word[0] != '_')
		return 0;
	while (isalnum((unsigned char)word[len]) || word[len] == '_')
		len++;
	return word[len] == '=' ? len : 0;
}
