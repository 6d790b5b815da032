// clipx bench: the backends of this program on the same work, side by side. Every arm is a process of its own, for its peak memory
// is then its own; all are forked before anything here starts a thread or a GPU, and run in turn, so that noise meets all alike.
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <clipx/run/machine.hpp>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <nlohmann/json.hpp>
#include <random>
#include <thread>

#include "common.hpp"
#include "flags.hpp"

namespace cli {
namespace {

/// backend-precision, built or not; f32, which every backend has, before the others.
std::vector<std::string> every_arm() {
  std::vector<std::string> out;
  for (auto& b : backends()) {
    out.push_back(b.name + "-f32");
    for (auto& p : b.precisions)
      if (p != "f32") out.push_back(b.name + "-" + p);
  }
  return out;
}

std::string backend_of(const std::string& arm) { return arm.substr(0, arm.find('-')); }

/// Seconds of a steady clock.
double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

double median_of(std::vector<double> v) {
  std::sort(v.begin(), v.end());
  return v[v.size() / 2];
}

struct options {
  model_options model;
  std::vector<std::size_t> batches{1, 16};
  std::vector<std::string> images, arms = every_arm();
  std::string texts, baseline;
  int runs = 20;
  double seconds = 15;
};

const std::vector<std::string> own_texts{
    "a photo of a cat",
    "two dogs asleep on a blue sofa in the afternoon sun",
    "a red bicycle",
    "an old wooden boat on a calm lake, with mountains behind it",
    "close-up of a bee on a yellow flower",
    "a bowl of noodle soup with an egg, seen from above, on a dark table",
    "people waiting for a night bus in the rain",
    "drawing of a house",
    "a child in a striped shirt flies a kite on an empty beach while a brown dog runs behind",
    "the moon",
    "a black and white photo of a narrow street with a cafe and parked scooters",
    "hot air balloons over a snowy valley at dawn",
    "a green parrot on a branch",
    "a kitchen shelf with jars of spices, a scale, three cups and a small cactus in a white pot",
    "a tennis player hits a backhand",
    "an umbrella forgotten on a bench in the park"};

/// What all arms are given.
struct task {
  struct work {
    std::string tower;
    std::size_t items;
    std::string name() const {
      return clipx::cat(tower, " tower, ", items, tower == "text" ? " text" : " image", items > 1 ? "s" : "");
    }
  };
  std::vector<work> works;
  std::vector<std::uint8_t> rgb;  // of the largest batch
  std::size_t img = 0;            // bytes of one image
  std::vector<std::string> texts;

  clipx::any_rows run(clipx::any_model& model, const work& w) const {
    return w.tower == "text" ? model.encode_text(texts) : model.encode_pixels(std::span(rgb).first(w.items * img));
  }
};

task make_task(const options& o, const clipx::checkpoint& source) {
  task t;
  t.texts = o.texts.empty() ? own_texts : clipx::read_lines(o.texts);
  clipx::expect(!t.texts.empty(), [&] { return clipx::cat(o.texts, ": expected one text per line, got none"); });
  for (auto n : o.batches) t.works.push_back({"image", n});
  t.works.push_back({"text", t.texts.size()});
  t.img = static_cast<std::size_t>(3 * source.pixels().size.area());
  t.rgb.resize(*std::max_element(o.batches.begin(), o.batches.end()) * t.img);
  if (o.images.empty()) {
    std::mt19937 bits(1);
    for (auto& b : t.rgb) b = static_cast<std::uint8_t>(bits());
    return t;
  }
  std::vector<std::uint8_t> given;
  clipx::left_out skipped;
  clipx::for_each_image_batch(
      clipx::image_paths(o.images, skipped), {.preprocess = source.pixels(), .batch_size = 1, .threads = 1, .loops = image_loops()},
      [&](const clipx::image_batch& batch) { given.insert(given.end(), batch.rgb.begin(), batch.rgb.end()); },
      [](std::size_t, const std::string&, const clipx::error& why) { throw why; });
  for (std::size_t i = 0; i < t.rgb.size(); ++i) t.rgb[i] = given[i % given.size()];
  return t;
}

/// The other side of an arm: answers each request, a JSON line, with one.
class answerer {
 public:
  answerer(const options& o, const task& t, const std::string& arm) : options_(o), task_(t), device_(o.model.device) {
    device_.backend = backend_of(arm);
    device_.precision = arm.substr(device_.backend.size() + 1);
  }
  json answer(const json& request) {
    const auto& what = request["do"];
    const double start = now();
    const auto ms = [&] { return (now() - start) * 1e3; };
    if (what == "load") {
      if (const auto why = backend_missing(device_.backend); !why.empty())
        return {{"absent", (needs_gpu(device_.backend) ? "no device: " : "") + why}};
      model_ = load_model(options_.model.open(), device_);
      return {{"ms", ms()}};
    }
    if (what == "memory") {
      const auto m = model_->memory();
      constexpr double mib = 1 << 20;
      json out{{"host_peak_mib", static_cast<double>(clipx::peak_memory()) / mib},
               {"weights_mib", static_cast<double>(m.weights) / mib},
               {"activations_peak_mib", static_cast<double>(m.activations) / mib}};
      if (needs_gpu(device_.backend)) out["device_mib"] = static_cast<double>(m.weights + m.held) / mib;
      return out;
    }
    const auto rows = task_.run(*model_, task_.works.at(request["work"]));
    if (what == "run") return {{"ms", ms()}};
    return {{"cols", rows.cols}, {"values", std::visit([](auto& values) { return json(values); }, rows.values)}};
  }

 private:
  const options& options_;
  const task& task_;
  engine_options device_;
  std::optional<clipx::any_model> model_;
};

/// A process that answers until this object is gone.
class process {
 public:
  process(const options& o, const task& t, const std::string& arm, const std::vector<std::unique_ptr<process>>& others) {
    int ends[2];
    clipx::expect(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0, clipx::error_kind::io, "bench: no pair of sockets can be made");
    std::fflush(nullptr);
    id_ = ::fork();
    clipx::expect(id_ >= 0, clipx::error_kind::io, "bench: no process can be started");
    if (id_ == 0) {
      ::close(ends[0]);
      for (auto& p : others) {  // or they would never see their end
        ::close(::fileno(p->in_));
        ::close(::fileno(p->out_));
      }
      open(ends[1]);
      serve(answerer(o, t, arm));
    }
    ::close(ends[1]);
    open(ends[0]);
  }
  process(process&&) = delete;
  ~process() {
    if (id_ > 0) end();
  }
  /// Error: what the process says is wrong, or how it died.
  json ask(const json& request) {
    say(request);
    auto answer = hear();
    if (answer.is_null()) clipx::fail(end());
    if (answer.contains("error")) clipx::fail(answer["error"].get<std::string>());
    return answer;
  }

 private:
  void open(int fd) {
    in_ = ::fdopen(fd, "r");
    out_ = ::fdopen(::dup(fd), "w");
  }
  void say(const json& line) {
    const auto text = line.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
    std::fwrite(text.data(), 1, text.size(), out_);
    std::fflush(out_);
  }
  json hear() {
    char* text = nullptr;
    std::size_t size = 0;
    const auto length = ::getline(&text, &size, in_);
    json line = length > 0 ? json::parse(text, text + length, nullptr, false) : json();
    std::free(text);
    return line;
  }
  [[noreturn]] void serve(answerer arm) {
    for (json request; request = hear(), !request.is_null();) try {
        say(arm.answer(request));
      } catch (const std::bad_alloc&) { say({{"error", "out of memory"}}); } catch (const std::exception& e) {
        say({{"error", e.what()}});
      }
    std::_Exit(0);  // nothing of the parent's is undone here
  }
  /// Says how the process ended.
  std::string end() {
    std::fclose(in_);
    std::fclose(out_);
    int status = 0;
    ::waitpid(id_, &status, 0);
    id_ = 0;
    if (WIFSIGNALED(status))
      return clipx::cat("its process was killed by signal ", WTERMSIG(status), ": ", ::strsignal(WTERMSIG(status)));
    return clipx::cat("its process ended early, with exit code ", WEXITSTATUS(status));
  }

  pid_t id_ = 0;
  std::FILE *in_ = nullptr, *out_ = nullptr;
};

struct arm {
  std::string name, absent, failed;  // why it has no numbers; both empty: it has
  std::unique_ptr<process> at;
  json facts, works = json::array();
  bool runs() const { return absent.empty() && failed.empty(); }
  /// null where the arm is out, or goes out with this request.
  json ask(const json& request) {
    if (!runs()) return {};
    try {
      return at->ask(request);
    } catch (const std::exception& e) { failed = with_flags(e.what()); }
    return {};
  }
};

/// What is going on, on a terminal.
void status(const std::string& line) {
  if (::isatty(2)) {
    std::fprintf(stderr, "\r\033[K%s", line.c_str());
    std::fflush(stderr);
  }
}

/// Milliseconds of each arm that runs, in one work.
double share_ms(const std::vector<arm>& arms, const task& t, const options& o) {
  const auto running = std::count_if(arms.begin(), arms.end(), [](const arm& a) { return a.runs(); });
  return o.seconds * 1e3 / static_cast<double>(t.works.size() * static_cast<std::size_t>(std::max<std::ptrdiff_t>(running, 1)));
}

/// All arms in turn, round after round, each until it has had its runs or used up its time; never fewer than one run.
void time_work(std::vector<arm>& arms, const task& t, std::size_t w, const options& o) {
  const double share = share_ms(arms, t, o);
  std::vector<std::vector<double>> ms(arms.size());
  std::vector<double> first(arms.size()), spent(arms.size());
  for (bool more = true; more;) {
    more = false;
    for (std::size_t i = 0; i < arms.size(); ++i) {
      const auto count = static_cast<int>(ms[i].size());
      if (!arms[i].runs() || count >= o.runs || (count > 0 && spent[i] > share)) continue;
      status(clipx::cat(t.works[w].name(), ": ", arms[i].name, " ", count + 1));
      std::this_thread::sleep_for(std::chrono::milliseconds(5));  // the last arm's threads go to sleep
      const auto run = [&] {
        const auto answer = arms[i].ask({{"do", "run"}, {"work", w}});
        return answer.is_null() ? 0.0 : answer["ms"].get<double>();
      };
      if (count == 0) spent[i] = first[i] = run();
      ms[i].push_back(run());
      spent[i] += ms[i].back();
      more = true;
    }
  }
  for (std::size_t i = 0; i < arms.size(); ++i) {
    if (!arms[i].runs()) continue;
    const double median = median_of(ms[i]);
    arms[i].works.push_back({{"tower", t.works[w].tower},
                             {"items", t.works[w].items},
                             {"first_ms", first[i]},
                             {"median_ms", median},
                             {"min_ms", *std::min_element(ms[i].begin(), ms[i].end())},
                             {"runs", ms[i].size()},
                             {"items_per_s", static_cast<double>(t.works[w].items) / median * 1e3}});
  }
}

/// Largest difference of the L2-normalized embeddings and smallest cosine, against the reference's.
void compare(std::vector<arm>& arms, std::size_t w, arm& reference) {
  const json ask{{"do", "rows"}, {"work", w}};
  const auto want = reference.ask(ask);
  for (auto& a : arms) {
    const auto got = a.ask(ask);
    if (got.is_null() || want.is_null()) continue;
    const auto x = got["values"].get<std::vector<double>>(), y = want["values"].get<std::vector<double>>();
    const auto cols = want["cols"].get<std::size_t>();
    clipx::expect(x.size() == y.size() && got["cols"] == cols, "bench: arms gave rows of different shapes");
    double most = 0, least = 1;
    for (std::size_t r = 0; r < x.size(); r += cols) {
      double xy = 0, xx = 0, yy = 0;
      for (std::size_t i = r; i < r + cols; ++i) {
        xy += x[i] * y[i];
        xx += x[i] * x[i];
        yy += y[i] * y[i];
        most = std::max(most, std::abs(x[i] - y[i]));
      }
      least = std::min(least, xy / std::sqrt(xx * yy));
    }
    a.works[w]["max_abs"] = most;
    a.works[w]["cosine"] = least;
  }
}

void print_table(const std::vector<arm>& arms, const task& t, const json& all, const options& o) {
  const auto& machine = all["machine"];
  std::printf("%s, %d threads; model %s, %.1f million parameters\n", machine["cpu"].get<std::string>().c_str(),
              machine["threads"].get<int>(), all["model"]["name"].get<std::string>().c_str(),
              all["model"]["parameters"].get<double>() / 1e6);
  std::printf("Arms take turns, at most %d runs or %.2f s per arm and workload; a ratio above 1 is faster than %s;\n", o.runs,
              share_ms(arms, t, o) / 1e3, all["baseline"].get<std::string>().c_str());
  std::printf("differences of L2-normalized embeddings are from %s. eigen has one thread.\n",
              all["reference"].get<std::string>().c_str());
  for (std::size_t w = 0; w < t.works.size(); ++w) {
    std::printf("\n%s\n%-10s %8s %9s %10s %10s %5s %10s %7s %9s %11s %9s %10s\n", t.works[w].name().c_str(), "arm", "load ms",
                "first ms", "median ms", "min ms", "runs", "items/s", "ratio", "host MiB", "device MiB", "max diff", "cosine");
    for (auto& a : arms) {
      std::printf("%-10s ", a.name.c_str());
      if (!a.runs()) {
        std::printf("%s%s\n", a.absent.c_str(), a.failed.empty() ? "" : ("failed: " + a.failed).c_str());
        continue;
      }
      const auto number = [](const json& from, const char* key, int width, const char* form) {
        if (from.contains(key)) std::printf(form, width, from[key].get<double>());
        else std::printf("%*s", width, "-");
      };
      const auto& work = a.works[w];
      number(a.facts, "load_ms", 8, "%*.1f");
      number(work, "first_ms", 10, "%*.2f");
      number(work, "median_ms", 11, "%*.3f");
      number(work, "min_ms", 11, "%*.3f");
      number(work, "runs", 6, "%*.0f");
      number(work, "items_per_s", 11, "%*.1f");
      number(work, "ratio", 8, "%*.2f");
      number(a.facts, "host_peak_mib", 10, "%*.1f");
      number(a.facts, "device_mib", 12, "%*.1f");
      number(work, "max_abs", 10, "%*.1e");
      number(work, "cosine", 11, "%*.7f");
      std::printf("\n");
    }
  }
}

json report(const options& o, const clipx::checkpoint& source, const std::vector<arm>& arms, const std::string& baseline,
            const std::string& reference) {
  const int threads = o.model.device.threads > 0 ? o.model.device.threads : static_cast<int>(std::thread::hardware_concurrency());
  json all{{"version", CLIPX_VERSION},
           {"machine",
            {{"cpu", clipx::cpu_name()}, {"flags", clipx::cpu_flags()}, {"threads", threads}, {"backends", describe_backends()}}},
           {"model", json::parse(source.summary())},
           {"seconds", o.seconds},
           {"baseline", baseline},
           {"reference", reference},
           {"arms", json::array()}};
  for (auto& a : arms) {
    json line{{"arm", a.name}};
    if (!a.absent.empty()) line["absent"] = a.absent;
    if (!a.failed.empty()) line["failed"] = a.failed;
    line.update(a.facts.is_null() ? json::object() : a.facts);
    line["work"] = a.works;
    all["arms"].push_back(line);
  }
  return all;
}

int compare_backends(const options& o) {
  const auto source = o.model.open();
  const auto t = make_task(o, source);
  std::signal(SIGPIPE, SIG_IGN);  // an arm that died is a row, not the end
  std::vector<arm> arms;
  std::vector<std::unique_ptr<process>> processes;
  for (auto& name : o.arms) processes.push_back(std::make_unique<process>(o, t, name, processes));
  for (std::size_t i = 0; i < o.arms.size(); ++i) {
    auto& a = arms.emplace_back();
    a.name = o.arms[i];
    a.at = std::move(processes[i]);
    status("loading: " + a.name);
    const auto answer = a.ask({{"do", "load"}});
    if (answer.contains("absent")) a.absent = answer["absent"];
    else if (!answer.is_null()) a.facts["load_ms"] = answer["ms"];
  }
  for (std::size_t w = 0; w < t.works.size(); ++w) time_work(arms, t, w, o);
  for (auto& a : arms)
    if (const auto memory = a.ask({{"do", "memory"}}); !memory.is_null()) a.facts.update(memory);
  const auto named = [&](const std::string& name) {
    const auto at = std::find_if(arms.begin(), arms.end(), [&](const arm& a) { return a.name == name && a.runs(); });
    return at != arms.end() ? at : std::find_if(arms.begin(), arms.end(), [](const arm& a) { return a.runs(); });
  };
  const auto reference = named("eigen-f64"), baseline = named(o.baseline);
  if (reference != arms.end())
    for (std::size_t w = 0; w < t.works.size(); ++w) {
      compare(arms, w, *reference);
      for (auto& a : arms)
        if (a.runs()) a.works[w]["ratio"] = baseline->works[w]["median_ms"].get<double>() / a.works[w]["median_ms"].get<double>();
    }
  status("");
  const auto name_of = [&](auto at) { return at != arms.end() ? at->name : std::string(); };
  const auto all = report(o, source, arms, name_of(baseline), name_of(reference));
  if (o.model.json_output) std::printf("%s\n", all.dump(-1, ' ', false, json::error_handler_t::replace).c_str());
  else print_table(arms, t, all, o);
  return reference != arms.end() && std::all_of(arms.begin(), arms.end(), [](const arm& a) { return a.failed.empty(); }) ? 0 : 1;
}
}  // namespace

void add_bench(command& app, action& run) {
  auto* verb = app.add_subcommand("bench", "Compares the backends on the same work: speed, memory, difference from the reference.");
  auto o = std::make_shared<options>();
  const auto known = is_member(every_arm());
  verb->add_option("image", o->images, "images or folders of images (default: random pixels)")->type_name("PATH");
  verb->add_option("--texts", o->texts, "one text per line, encoded as one batch (default: 16 built-in sentences)")
      ->type_name("FILE");
  verb->add_option("--batch", o->batches, "batch sizes to measure (default: 1,16)")
      ->check(range(1, 65536))
      ->delimiter(',')
      ->allow_extra_args(false)
      ->type_name("N,...");
  verb->add_option("--arms", o->arms,
                   clipx::cat("arms to run, in this order (default: all, ", o->arms.front(), " to ", o->arms.back(), ")"))
      ->check(known)
      ->delimiter(',')
      ->allow_extra_args(false)
      ->type_name("NAME,...");
  verb->add_option("--baseline", o->baseline, "the arm that ratios refer to (default: the first that runs)")
      ->check(known)
      ->type_name("NAME");
  verb->add_option("--runs", o->runs, "maximum number of timed calls of each arm and workload")
      ->check(range(1, 1000000))
      ->type_name("N")
      ->capture_default_str();
  verb->add_option("--seconds", o->seconds, "total time of the timed calls; a slow arm gets fewer of them, but at least one")
      ->check(range(0.0, 86400.0))
      ->type_name("S")
      ->capture_default_str();
  o->model.add_json(*verb);
  o->model.add_model(*verb);
  o->model.add_threads(*verb);
  o->model.add_gpu(*verb);
  verb->footer(
      "An arm is a backend with one precision. Each runs in its own process with its own model; all are in memory at once.\n"
      "Times cover everything from 8-bit pixels or strings in host memory to L2-normalized embeddings there. host MiB is the\n"
      "process's peak, device MiB the weights and activations. Exit code 1: an arm failed.\n"
      "Example: clipx bench --batch 1,32 --arms cpu-f32,cpu-bf16 --model path/to/model");
  verb->callback([=, &run] {
    const auto has = [&](const std::string& part) {
      return std::any_of(o->arms.begin(), o->arms.end(), [&](auto& a) { return a.starts_with(part); });
    };
    const auto gpu = std::find_if(o->arms.begin(), o->arms.end(), [](auto& a) { return needs_gpu(backend_of(a)); });
    o->model.device.backend = backend_of(gpu != o->arms.end() ? *gpu : o->arms.front());
    o->model.check_engine();
    if (!o->baseline.empty() && !has(o->baseline)) throw usage_error("--baseline " + o->baseline + ": not one of --arms");
    run = [=] { return compare_backends(*o); };
  });
}

}  // namespace cli
