# What Doxygen reads of a header (Doxyfile.in): the same lines, in which
#   - a comment behind a declaration, `int n;  // rows`, is its documentation, and so is one behind the { of a function;
#   - a docstring of `int a, b;` is that of both names;
#   - idioms that mean the same in every class are documented here, once;
#   - the text of docstrings holds no commands: @ and < are only characters.
# And of a document: the same without links to files that are not part of the reference.

FILENAME ~ /\.md$/ {
  line = ""
  while (match($0, /\]\([^)]*\)/)) {
    to = substr($0, RSTART + 2, RLENGTH - 3)
    text = substr($0, 1, RSTART - 1)
    if (to ~ /:|^#|\.md(#|$)|\.hpp$/) line = line text substr($0, RSTART, RLENGTH)
    else { match(text, /\[[^[]*$/); line = line substr(text, 1, RSTART - 1) substr(text, RSTART + 1) }
    match($0, /\]\([^)]*\)/)
    $0 = substr($0, RSTART + RLENGTH)
  }
  print line $0
  next
}

# Text outside of `code` with the characters escaped that Doxygen would read as commands or tags.
function plain(text,    n, i, parts, out) {
  n = split(text, parts, "`")
  out = ""
  for (i = 1; i <= n; i++) {
    if (i % 2) { gsub(/[@<>]/, "\\\\&", parts[i]); gsub(/\*\//, "* /", parts[i]) }
    out = out (i > 1 ? "`" : "") parts[i]
  }
  return out
}
function doc(text) { return " /**< " plain(text) " */" }

# Splits what declares several variables, "T a = 1, b;", into out[1] = "T a = 1" and out[2] = "T b". Returns their number.
function declarators(code, out,    i, c, depth, n, part, type) {
  if (code !~ /^ *[a-z_:][A-Za-z0-9_:<>*&, ]* [*]?[A-Za-z0-9_]+.*;$/ || code ~ /^ *(return|using|friend|virtual|template|requires|throw|delete)/) return 1
  sub(/;$/, "", code)
  n = depth = 0
  part = ""
  for (i = 1; i <= length(code); i++) {
    c = substr(code, i, 1)
    if (index("<({[", c)) depth++
    if (index(">)}]", c)) depth--
    if (c == "(" && part !~ /=/) return 1  # a function
    if (c == "," && depth == 0) { out[++n] = part; part = "" } else part = part c
  }
  out[++n] = part
  type = out[1]
  sub(/ *(=|\{).*$/, "", type)
  if (n == 1 || !match(type, /[A-Za-z_0-9]+(\[[^]]*\])*$/)) return 1
  type = substr(type, 1, RSTART - 1)
  for (i = 2; i <= n; i++) { sub(/^ */, "", out[i]); out[i] = type out[i] }
  return n
}

# Follows braces: scopes[depth] is "c" in a namespace, class or enumeration, "b" in a body.
function follow(code,    i, c) {
  gsub(/"([^"\\]|\\.)*"/, "\"\"", code)
  gsub(/'[^']'/, "' '", code)
  for (i = 1; i <= length(code); i++) {
    c = substr(code, i, 1)
    if (c == "(") parens++
    if (c == ")") parens--
    if (c == "{") {
      gsub(/template <[^>]*>/, "", since)
      scopes[++depth] = (parens == 0 && since ~ /(^|[^A-Za-z0-9_])(namespace|struct|class|union|enum)[^A-Za-z0-9_]/) ? "c" : "b"
      if (scopes[depth] == "b") bodies++
      since = ""
    } else if (c == "}") {
      if (scopes[depth--] == "b") bodies--
      since = ""
    } else if (c == ";") since = ""
    else since = since c
  }
  since = since " "
}

# What means the same everywhere.
function idiom(code) {
  if (code ~ /^ *using T = scalar_t<[A-Za-z]+>;$/) return "How activations and weights are stored."
  if (code ~ /^ *using A = accum_t<[A-Za-z]+>;$/) return "How sums, norms, statistics and the loss are held."
  if (code ~ /^ *(friend bool|bool|auto) operator(==|<=>)\(.*\)( const)? = default;$/) return "Compares member by member."
  if (code ~ /^ *void visit\((auto|V)&( v)?\) \{/) return "Calls v(name, parameter, shape) for each parameter, and v(name, part) for each part, by their names in a checkpoint."
  if (code ~ /^ *struct saved \{/) return "What the forward pass leaves to the backward pass."
  if (code ~ /^ *(std::vector<)?typename .*::saved>? [a-z0-9_, ]+;$/) return "What the part of this name leaves."
  if (code ~ /^ *using policy = /) return "The policy that this configures; see chosen."
  if (code ~ /^ *static constexpr std::string_view name = /) return "The policy\047s name, in messages and in comparisons of configurations."
  if (code ~ /&& ?(o)?\)( noexcept| = default)/) return "Moves. What was moved from may only be assigned to and destroyed."
  return ""
}

# Prints one line, with the comment that stood behind it.
function emit(code, comment,    n, i, parts, said, before, lead) {
  said = comment != "" ? comment : above
  before = bodies
  lead = parens
  follow(code)
  if (code ~ /^ *$/ || code ~ /^ *#/) { print code; above = ""; return }
  if (before || lead) { print code (comment != "" ? "  // " comment : ""); if (!parens) above = ""; return }
  if (said == "" && idiom(code) != "") {
    said = comment = idiom(code)
    if (code !~ /;$/ || code ~ /\(/) { match(code, /^ */); print substr(code, 1, RLENGTH) "/** " plain(said) " */ " substr(code, RLENGTH + 1); return }
  }
  if (code ~ /^ *template </ || code ~ /^ *requires/) { print code (comment != "" ? "  // " comment : ""); return }
  n = declarators(code, parts)
  if (n > 1 && said != "") {
    for (i = 1; i <= n; i++) printf "%s;%s", parts[i], (i > 1 || comment != "") ? doc(said) " " : " "
    print ""
  } else if (comment != "" && (bodies || parens)) {  # behind the opening brace of a function
    match(code, /^ */)
    if (above == "" && !parens) print substr(code, 1, RLENGTH) "/** " plain(comment) " */ " substr(code, RLENGTH + 1)
    else print code
  } else if (comment != "" && code ~ /^ *(enum|struct|class) .*;$/) {  # Doxygen reads no comment behind these
    match(code, /^ */)
    print (above == "" ? substr(code, 1, RLENGTH) "/** " plain(comment) " */ " substr(code, RLENGTH + 1) : code) (code ~ /};$/ ? "" : doc(comment))
  } else if (comment != "" && code !~ /^ *(namespace|}|public:|private:|protected:)/ && code !~ /\{$/) print code doc(comment)
  else print code
  above = ""
}
function flush() {
  if (!held) return
  emit(code, comment)
  for (; lines > 0; lines--) print ""
  held = 0
}

/^ *\/\/\// {
  flush()
  match($0, /^ *\/\/\//)
  text = substr($0, RLENGTH + 1)
  if (text ~ /^ ?@[{}]/) { print; above = ""; next }
  above = above (above == "" ? "" : " ") substr(text, 2)
  print substr($0, 1, RLENGTH) plain(text)
  next
}
/^ *\/\// {
  match($0, /^ */)
  if (held && comment != "" && RLENGTH == column) { comment = comment " " substr($0, RLENGTH + 4); lines++ } else { flush(); print; above = "" }
  next
}
{
  flush()
  held = 1
  code = $0
  comment = ""
  if (match($0, / +\/\/ /)) { code = substr($0, 1, RSTART - 1); comment = substr($0, RSTART + RLENGTH); column = RSTART + RLENGTH - 4 }
}
END { flush() }
