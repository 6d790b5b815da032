#include "arguments.hpp"

#include <CLI/CLI.hpp>
#include <cstdint>
#include <limits>
#include <utility>

namespace cli {

required_error::required_error(const std::string& what) : usage_error(what + " is required") {}
excludes_error::excludes_error(const std::string& one, const std::string& other) : usage_error(one + " excludes " + other) {}

namespace {
/// The check that CLI11 makes, described in its words.
value_check check_of(const CLI::Validator& rule) {
  return {[rule](const std::string& text) { return rule(text); }, rule.get_description()};
}
value_check described(value_check must, std::string description) {
  must.description = std::move(description);
  return must;
}
}  // namespace

template <class Number>
value_check range(Number low, Number high, std::string description) {
  return described(check_of(CLI::Range(low, high)), std::move(description));
}
value_check positive_number() { return check_of(CLI::PositiveNumber); }
value_check non_negative_number() { return check_of(CLI::NonNegativeNumber); }
value_check one_character() {
  return {[](const std::string& s) {
    return s.size() == 1 || s == "\\t" ? std::string() : "expected one character or \\t, got \"" + s + "\"";
  }};
}
value_check is_member(const std::vector<std::string>& values) { return check_of(CLI::IsMember(values)); }
value_check is_member(const std::vector<std::string>& values, std::string description) {
  return described(is_member(values), std::move(description));
}

option* option::required() {
  it_.required();
  return this;
}
option* option::type_name(std::string_view name) {
  it_.type_name(std::string(name));
  return this;
}
option* option::group(std::string_view name) {
  it_.group(std::string(name));
  return this;
}
option* option::capture_default_str() {
  it_.capture_default_str();
  return this;
}
option* option::check(value_check must) {
  it_.check(std::move(must.wrong), std::move(must.description));
  return this;
}
option* option::needs(option* other) {
  it_.needs(&other->it_);
  return this;
}
option* option::excludes(option* other) {
  it_.excludes(&other->it_);
  return this;
}
option* option::delimiter(char between) {
  it_.delimiter(between);
  return this;
}
option* option::allow_extra_args(bool allowed) {
  it_.allow_extra_args(allowed);
  return this;
}
std::size_t option::count() const { return it_.count(); }
std::string option::name() const { return it_.get_name(); }

command::command(CLI::App& it) : it_(it) {}
command::~command() = default;

option* command::keep(CLI::Option* made) { return options_.emplace_back(std::make_unique<option>(*made)).get(); }

template <class Value>
option* command::add_option(std::string_view names, Value& variable, std::string_view help) {
  return keep(it_.add_option(std::string(names), variable, std::string(help)));
}
option* command::add_flag(std::string_view names, bool& variable, std::string_view help) {
  return keep(it_.add_flag(std::string(names), variable, std::string(help)));
}
command* command::add_subcommand(std::string_view name, std::string_view help) {
  return commands_.emplace_back(std::make_unique<command>(*it_.add_subcommand(std::string(name), std::string(help)))).get();
}
command* command::require_subcommand(int count) {
  it_.require_subcommand(count);
  return this;
}
command* command::require_subcommand(std::size_t least, std::size_t most) {
  it_.require_subcommand(least, most);
  return this;
}
command* command::footer(std::string_view text) {
  it_.footer(std::string(text));
  return this;
}
command* command::callback(std::function<void()> call) {
  it_.callback([call = std::move(call)] {
    try {
      call();
    } catch (const usage_error& e) { throw CLI::ValidationError(e.what()); }  // what parse() reports
  });
  return this;
}

command_line::command_line(std::unique_ptr<CLI::App> owned) : command(*owned), owned_(std::move(owned)) {}
command_line::command_line(std::string_view help, std::string_view program)
    : command_line(std::make_unique<CLI::App>(std::string(help), std::string(program))) {}
command_line::~command_line() = default;

void command_line::failure_message(std::function<std::string(const std::string&, const std::string&)> message) {
  it_.failure_message([message = std::move(message)](const CLI::App* top, const CLI::Error& e) {
    std::string verb = top->get_name();
    for (auto used = top->get_subcommands(); !used.empty(); used = used.front()->get_subcommands())
      verb += " " + used.front()->get_name();
    return message(verb, e.what());
  });
}

std::optional<int> command_line::parse(int argc, const char* const* argv) {
  try {
    it_.parse(argc, argv);
  } catch (const CLI::ParseError& e) { return it_.exit(e) == 0 ? 0 : 2; }
  return std::nullopt;
}

std::string command_line::help() const { return it_.help(); }

// The types of the options that there are. std::size_t and clipx::dim are among them, or are the same as one of them.
template value_check range(int, int, std::string);
template value_check range(long, long, std::string);
template value_check range(unsigned long, unsigned long, std::string);
template value_check range(unsigned long long, unsigned long long, std::string);
template value_check range(double, double, std::string);
template option* command::add_option(std::string_view, std::string&, std::string_view);
template option* command::add_option(std::string_view, int&, std::string_view);
template option* command::add_option(std::string_view, long&, std::string_view);
template option* command::add_option(std::string_view, unsigned long&, std::string_view);
template option* command::add_option(std::string_view, unsigned long long&, std::string_view);
template option* command::add_option(std::string_view, double&, std::string_view);
template option* command::add_option(std::string_view, std::vector<std::string>&, std::string_view);
template option* command::add_option(std::string_view, std::vector<std::size_t>&, std::string_view);
template option* command::add_option(std::string_view, std::vector<std::ptrdiff_t>&, std::string_view);

}  // namespace cli
