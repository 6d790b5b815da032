// The command line: subcommands, options, and what the values of options must be. CLI11 does the work, but only arguments.cpp
// includes it: its header takes seconds to compile in every unit that sees it.
#pragma once
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace cli {

/// Bad usage that a verb finds in its callback. command_line::parse() reports it like bad usage that CLI11 finds.
class usage_error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};
/// "WHAT is required".
class required_error : public usage_error {
 public:
  explicit required_error(const std::string& what);
};
/// "ONE excludes OTHER".
class excludes_error : public usage_error {
 public:
  excludes_error(const std::string& one, const std::string& other);
};

/// What the text of a value must be.
struct value_check {
  std::function<std::string(const std::string& text)> wrong;  // says what is wrong; empty: nothing is
  std::string description = "";                               // shown in the help behind the option's type; empty: nothing is shown
};
/// A number from `low` to `high`, both included. Instantiated for the types that add_option() takes.
template <class Number>
value_check range(Number low, Number high, std::string description = "");
value_check positive_number();
value_check non_negative_number();
/// One character, or \t written with two.
value_check one_character();
/// One of `values`, which the help lists, or describes by the second argument.
value_check is_member(const std::vector<std::string>& values);
value_check is_member(const std::vector<std::string>& values, std::string description);

/// An option of a command. Functions that change it return it, so that calls can be chained.
class option {
 public:
  explicit option(CLI::Option& it) : it_(it) {}
  option(const option&) = delete;
  option* required();
  /// The type of its value in the help.
  option* type_name(std::string_view name);
  /// The heading in the help under which it is listed.
  option* group(std::string_view name);
  /// Shows the variable's present value in the help as the default.
  option* capture_default_str();
  option* check(value_check must);
  option* needs(option* other);
  option* excludes(option* other);
  /// Values that are joined by this character count as several.
  option* delimiter(char between);
  /// Whether values may follow the first one as arguments of their own.
  option* allow_extra_args(bool allowed);
  /// How often it was given.
  std::size_t count() const;
  std::string name() const;

 private:
  CLI::Option& it_;
};

/// A subcommand, or the whole command line. It owns its options and subcommands.
class command {
 public:
  explicit command(CLI::App& it);
  command(const command&) = delete;
  virtual ~command();
  /// `names`: "--name", "-n,--name", or "name" for a positional argument. The value is written to `variable`, which must outlive
  /// the parsing. Instantiated in arguments.cpp for the types that are in use.
  template <class Value>
  option* add_option(std::string_view names, Value& variable, std::string_view help = "");
  /// "!--name" sets the variable to false.
  option* add_flag(std::string_view names, bool& variable, std::string_view help = "");
  command* add_subcommand(std::string_view name, std::string_view help);
  /// Exactly `count` subcommands must be given, or from `least` to `most`.
  command* require_subcommand(int count);
  command* require_subcommand(std::size_t least, std::size_t most);
  /// Called when the command was given and all its options have been read.
  command* callback(std::function<void()> call);
  /// The last lines of its help.
  command* footer(std::string_view text);

 protected:
  CLI::App& it_;

 private:
  option* keep(CLI::Option* made);
  std::vector<std::unique_ptr<option>> options_;
  std::vector<std::unique_ptr<command>> commands_;
};

/// The whole command line of a program.
class command_line final : public command {
 public:
  explicit command_line(std::string_view help, std::string_view program = "");  // program: its name; empty: argv[0]
  ~command_line() override;
  /// What is printed on bad usage. `verb`: the program and the subcommands that were recognized, such as "clipx eval zeroshot".
  void failure_message(std::function<std::string(const std::string& verb, const std::string& wrong)> message);
  /// Reads the arguments, writes the variables and calls the callbacks. The result is the exit code where there is nothing left to
  /// do: 0 after --help, which is printed; 2 on bad usage, which is reported on standard error.
  std::optional<int> parse(int argc, const char* const* argv);
  std::string help() const;

 private:
  explicit command_line(std::unique_ptr<CLI::App> owned);
  std::unique_ptr<CLI::App> owned_;
};

}  // namespace cli
