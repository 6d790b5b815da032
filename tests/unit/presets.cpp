// The published models: parameter counts (docs/clip.md section 1.1) and initialization (docs/clip.md section 9.3).
#include <clipx/architectures/list.hpp>
#include <clipx/checkpoint/checkpoint.hpp>
#include <clipx/core/params.hpp>
#include <clipx/eigen.hpp>
#include <clipx/train/init.hpp>
#include <clipx/train/trainable.hpp>
#include <cmath>
#include <map>

#include "catch.hpp"
#include "temporary.hpp"

namespace test_presets {

using namespace clipx;

TEST_CASE("presets: parameters as published") {
  struct row {
    const char* name;
    dim image, text, total;
  };
  // clang-format off
  const row table[] = {
      {"RN50", 38'316'896, 63'690'240, 102'007'137},        {"RN101", 56'259'936, 63'428'096, 119'688'033},
      {"RN50x4", 87'137'080, 91'163'520, 178'300'601},      {"RN50x16", 167'328'912, 123'650'304, 290'979'217},
      {"RN50x64", 420'380'352, 202'877'952, 623'258'305},   {"ViT-B-32", 87'849'216, 63'428'096, 151'277'313},
      {"ViT-B-16", 86'192'640, 63'428'096, 149'620'737},    {"ViT-L-14", 303'966'208, 123'650'304, 427'616'513},
      {"ViT-L-14-336", 304'293'888, 123'650'304, 427'944'193}, {"ViT-H-14", 632'076'800, 354'032'640, 986'109'441},
      {"ViT-g-14", 1'012'645'632, 354'032'640, 1'366'678'273}, {"ViT-bigG-14", 1'844'907'264, 694'659'840, 2'539'567'105},
      // open_clip's own models, which have a logit_bias beside the logit_scale
      {"ViT-B-16-SigLIP", 92'884'224, 110'271'744, 203'155'970},
      {"ViT-B-16-SigLIP-256", 92'930'304, 110'271'744, 203'202'050},
      {"ViT-B-16-SigLIP-384", 93'176'064, 110'271'744, 203'447'810},
      {"ViT-B-16-SigLIP-512", 93'520'128, 110'271'744, 203'791'874},
      {"ViT-B-16-SigLIP-i18n-256", 92'930'304, 277'695'744, 370'626'050},
      {"ViT-L-16-SigLIP-256", 315'956'224, 336'194'560, 652'150'786},
      {"ViT-L-16-SigLIP-384", 316'283'904, 336'194'560, 652'478'466},
      {"ViT-SO400M-14-SigLIP", 427'680'704, 449'679'600, 877'360'306},
      {"ViT-SO400M-14-SigLIP-378", 428'225'600, 449'734'896, 877'960'498},
      {"ViT-SO400M-14-SigLIP-384", 428'225'600, 449'734'896, 877'960'498},
      {"ViT-SO400M-16-SigLIP-i18n-256", 427'888'064, 699'542'640, 1'127'430'706},
      {"ViT-B-32-SigLIP2-256", 94'552'320, 282'303'744, 376'856'066},
      {"ViT-B-16-SigLIP2", 92'884'224, 282'303'744, 375'187'970},
      {"ViT-B-16-SigLIP2-256", 92'930'304, 282'303'744, 375'234'050},
      {"ViT-B-16-SigLIP2-384", 93'176'064, 282'303'744, 375'479'810},
      {"ViT-B-16-SigLIP2-512", 93'520'128, 282'303'744, 375'823'874},
      {"ViT-L-16-SigLIP2-256", 315'956'224, 565'570'560, 881'526'786},
      {"ViT-L-16-SigLIP2-384", 316'283'904, 565'570'560, 881'854'466},
      {"ViT-L-16-SigLIP2-512", 316'742'656, 565'570'560, 882'313'218},
      {"ViT-SO400M-14-SigLIP2", 427'680'704, 707'782'896, 1'135'463'602},
      {"ViT-SO400M-14-SigLIP2-378", 428'225'600, 707'782'896, 1'136'008'498},
      {"ViT-SO400M-16-SigLIP2-256", 427'888'064, 707'782'896, 1'135'670'962},
      {"ViT-SO400M-16-SigLIP2-384", 428'256'704, 707'782'896, 1'136'039'602},
      {"ViT-SO400M-16-SigLIP2-512", 428'772'800, 707'782'896, 1'136'555'698},
      {"ViT-gopt-16-SigLIP2-256", 1'163'168'256, 708'225'648, 1'871'393'906},
      {"ViT-gopt-16-SigLIP2-384", 1'163'659'776, 708'225'648, 1'871'885'426},
      // open_clip's EVA and PE-Core
      {"EVA01-g-14", 1'012'588'928, 123'846'912, 1'136'435'841},
      {"EVA01-g-14-plus", 1'012'588'928, 354'032'640, 1'366'621'569},
      {"EVA02-B-16", 86'263'040, 63'428'096, 149'691'137},
      {"EVA02-L-14", 304'105'152, 123'650'304, 427'755'457},
      {"EVA02-L-14-336", 304'432'832, 123'650'304, 428'083'137},
      {"EVA02-E-14", 4'350'556'928, 354'032'640, 4'704'589'569},
      {"EVA02-E-14-plus", 4'350'556'928, 694'332'160, 5'044'889'089},
      {"PE-Core-T-16-384", 6'141'056, 63'405'056, 69'546'113},
      {"PE-Core-S-16-384", 23'783'168, 63'405'056, 87'188'225},
      {"PE-Core-B-16", 93'673'984, 353'986'560, 447'660'545},
      {"PE-Core-L-14-336", 317'152'256, 353'986'560, 671'138'817},
      {"PE-Core-bigG-14-448", 1'882'033'920, 537'233'920, 2'419'267'841},
      // open_clip's ConvNeXt
      {"convnext_tiny", 28'606'560, 63'690'240, 92'296'801},
      {"convnext_small", 49'847'904, 63'428'096, 113'276'001},
      {"convnext_base", 88'090'752, 63'428'096, 151'518'849},
      {"convnext_base_w", 88'221'824, 91'163'520, 179'385'345},
      {"convnext_base_w_320", 88'221'824, 91'163'520, 179'385'345},
      {"convnext_large", 197'409'984, 123'650'304, 321'060'289},
      {"convnext_large_d", 199'770'816, 152'001'792, 351'772'609},
      {"convnext_large_d_320", 199'770'816, 152'001'792, 351'772'609},
      {"convnext_xlarge", 350'245'120, 303'647'744, 653'892'865},
      {"convnext_xxlarge", 846'543'744, 354'032'640, 1'200'576'385},
      {"convnext_xxlarge_320", 846'543'744, 354'032'640, 1'200'576'385},
      {"ViTamin-S", 22'025'152, 40'444'032, 62'469'185},
      {"ViTamin-S-LTT", 22'172'608, 123'650'304, 145'822'913},
      {"ViTamin-B", 87'525'248, 63'428'096, 150'953'345},
      {"ViTamin-B-LTT", 87'721'856, 123'650'304, 211'372'161},
      {"ViTamin-L", 333'318'048, 123'650'304, 456'968'353},
      {"ViTamin-L-256", 333'379'488, 123'650'304, 457'029'793},
      {"ViTamin-L-336", 333'568'928, 123'650'304, 457'219'233},
      {"ViTamin-L-384", 333'707'168, 123'650'304, 457'357'473},
      {"ViTamin-L2", 333'580'192, 354'032'640, 687'612'833},
      {"ViTamin-L2-256", 333'641'632, 354'032'640, 687'674'273},
      {"ViTamin-L2-336", 333'831'072, 354'032'640, 687'863'713},
      {"ViTamin-L2-384", 333'969'312, 354'032'640, 688'001'953},
      {"ViTamin-XL-256", 436'054'080, 488'722'176, 924'776'257},
      {"ViTamin-XL-336", 436'054'080, 488'722'176, 924'776'257},
      {"ViTamin-XL-384", 436'054'080, 488'722'176, 924'776'257},
      {"roberta-ViT-B-32", 87'849'216, 124'874'240, 212'723'457},
      {"xlm-roberta-base-ViT-B-32", 87'849'216, 278'272'256, 366'121'473},
      {"xlm-roberta-large-ViT-H-14", 632'076'800, 560'937'984, 1'193'014'785},
      {"nllb-clip-base", 87'849'216, 414'035'968, 501'885'185},
      {"nllb-clip-large", 632'076'800, 767'139'840, 1'399'216'641},
      {"nllb-clip-base-siglip", 93'176'064, 414'298'112, 507'474'178},
      {"nllb-clip-large-siglip", 428'225'600, 767'270'912, 1'195'496'514},
      // open_clip's, as it counts them
      {"ViT-L-14-CLIPA", 303'964'160, 110'246'400, 414'210'561},
      {"ViT-L-14-CLIPA-336", 304'291'840, 110'246'400, 414'538'241},
      {"ViT-H-14-CLIPA", 632'074'240, 336'160'768, 968'235'009},
      {"ViT-H-14-CLIPA-336", 632'483'840, 336'160'768, 968'644'609},
      {"ViT-bigG-14-CLIPA", 1'844'903'936, 672'320'000, 2'517'223'937},
      {"ViT-bigG-14-CLIPA-336", 1'845'436'416, 672'320'000, 2'517'756'417},
      {"MobileCLIP-B", 86'349'056, 63'428'096, 149'777'153},
      {"MobileCLIP2-B", 86'349'056, 63'428'096, 149'777'153},
      {"MobileCLIP2-L-14", 303'966'976, 123'650'304, 427'617'281},
      {"vit_medium_patch16_gap_256", 38'610'432, 63'428'096, 102'038'529},
      {"ViT-M-16-alt", 38'534'144, 40'444'032, 78'978'177},
  };
  // clang-format on
  REQUIRE(presets::all().size() == std::size(table));
  const auto count = [](const clip_config& c) {
    dim image = 0, text = 0, total = 0;
    for (auto& [name, s] : parameter_shapes(c)) {
      if (name.find(".running_") != std::string::npos) continue;  // buffers
      total += s.count();
      if (name != "logit_scale" && name != "logit_bias") (name.starts_with("visual.") ? image : text) += s.count();
    }
    return std::array<dim, 3>{image, text, total};
  };
  for (auto& r : table) {
    INFO(r.name);
    CHECK(count(presets::find(r.name)) == std::array<dim, 3>{r.image, r.text, r.total});
  }
  auto h = presets::find("ViT-H-14");
  auto larger = h.vision.as<vit_config>();
  larger.image_size = 378;
  h.vision = larger;
  CHECK(count(h) == std::array<dim, 3>{632'682'240, 354'032'640, 986'714'881});
  CHECK_THAT(message([] { presets::find("ViT-B-33"); }), Contains("ViT-B-33") && Contains("ViT-B-32") && Contains("RN50x64"));
  for (auto& [given, meant] : {std::pair{"vit_l14", "ViT-L-14"}, {"RN50x63", "RN50x64"}, {"ViT-B-31-quickgelu", "ViT-B-32"}})
    CHECK_THAT(message([&, name = given] { presets::find(name); }), Contains(cat("did you mean ", meant, "?")));
  for (auto* far : {"", "x", "resnet18", "my-own-model"})
    CHECK_THAT(message([&] { presets::find(far); }), !Contains("did you mean") && Contains("The presets are: "));
}

TEST_CASE("presets: names of openai and of open_clip") {
  const std::pair<const char*, const char*> names[] = {{"ViT-B/32", "ViT-B-32"},
                                                       {"ViT-L/14@336px", "ViT-L-14-336"},
                                                       {"ViT-B-32-quickgelu", "ViT-B-32"},
                                                       {"ViT-L-14-336-quickgelu", "ViT-L-14-336"},
                                                       {"RN50-quickgelu", "RN50"}};
  for (auto& [given, found] : names) CHECK(&presets::find(given) == &presets::find(found));
  const auto &plain = presets::find("ViT-H-14"), &quick = presets::find("ViT-H-14-quickgelu");
  CHECK(plain.act == activation::gelu);
  CHECK(quick.act == activation::quick_gelu);
  CHECK(quick.vision == plain.vision);
  for (auto* none : {"ViT-B-32-256", "ViT-B-16-SigLIP-quickgelu", "ViT-B-32-quickgelu-quickgelu", "roberta-ViT-B-32-quickgelu", "",
                     "ViT-B/32px/", "-quickgelu"})
    CHECK_THAT(message([&] { presets::find(none); }), Contains(cat("unknown model '", none)) && Contains("model_configs"));
}

TEST_CASE("presets: sizes that shapes do not show") {
  for (auto& c : presets::all()) {
    INFO(c.name);
    const bool other_image = c.vision.is<siglip_vit_config>() || c.vision.is<convnext_config>() || c.vision.is<eva_vit_config>() ||
                             c.vision.is<plain_vit_config>() || c.vision.is<mci_vit_config>() || c.vision.is<vitamin_config>();
    if (other_image || !c.text.hf.name.empty()) continue;
    const bool openai = c.name != "ViT-H-14" && c.name != "ViT-g-14" && c.name != "ViT-bigG-14";
    CHECK(c.act == (openai ? activation::quick_gelu : activation::gelu));
    CHECK(c.text.context_length == 77);
    CHECK(c.text.vocab_size == 49408);
    CHECK(c.text.heads == c.text.width / 64);
    const bool resnet = c.vision.is<modified_resnet_config>();
    const dim width = resnet ? c.vision.as<modified_resnet_config>().channels() : c.vision.as<vit_config>().width;
    const dim heads = resnet ? c.vision.as<modified_resnet_config>().heads : c.vision.as<vit_config>().heads;
    CHECK(heads == (openai ? width / 64 : 16));
  }
}

TEST_CASE("presets: SigLIP's, as open_clip has them") {
  const auto &one = presets::find("ViT-B-16-SigLIP"), &two = presets::find("ViT-B-16-SigLIP2"),
             &b32 = presets::find("ViT-B-32-SigLIP2-256"), &so = presets::find("ViT-SO400M-16-SigLIP-i18n-256"),
             &gopt = presets::find("ViT-gopt-16-SigLIP2-384");
  CHECK((one.act == activation::gelu && one.text_act() == activation::gelu));
  CHECK((two.act == activation::gelu && two.text_act() == activation::gelu_tanh));
  CHECK((b32.act == activation::gelu_tanh && b32.text_act() == activation::gelu_tanh));
  CHECK((so.act == activation::gelu_tanh && so.text_act() == activation::gelu));
  CHECK(!so.text.projection);
  CHECK((gopt.embed_dim == 1536 && gopt.text.width == 1152 && gopt.text.mlp_width == 4304));
  CHECK(presets::find("ViT-SO400M-14-SigLIP").text.context_length == 16);
  for (auto& c : presets::all()) {
    if (!c.vision.is<siglip_vit_config>()) continue;
    INFO(c.name);
    CHECK(c.norm_eps == 1e-6);
    CHECK(c.text.pool == text_pool::last);
    CHECK(c.loss.is<sigmoid::config>());
    auto written = default_config(c);  // and back, from what open_clip would read
    const auto text = open_clip_config_text(written);
    CHECK(text.find("timm_model_kwargs") == std::string::npos);
    const auto read = read_open_clip_config(text, c.name).model;
    CHECK((read.vision == c.vision && read.text == c.text && read.act == c.act && read.norm_eps == c.norm_eps &&
           read.embed_dim == c.embed_dim && read.loss == c.loss));
    CHECK(read_open_clip_config(text, c.name).pixels == written.pixels);
    CHECK(written.pixels.mean[0] == 0.5f);
    CHECK(written.pixels.resize == resize_mode::squash);
  }
}

namespace {

/// The table of docs/clip.md section 9.3, row by row: how a parameter is drawn. A fixed value has no size.
struct rule {
  enum kind { fixed, normal, uniform } how;
  double size;
};
rule rule_of(const std::string& name, const shape& s, const clip_config& c) {
  const auto is = [&](const char* end) { return name.ends_with(end); };
  const bool image = name.starts_with("visual.");
  const bool vit = c.vision.is<vit_config>();
  const auto of_vit = vit ? c.vision.as<vit_config>() : vit_config{};
  const auto of_resnet = vit ? modified_resnet_config{} : c.vision.as<modified_resnet_config>();
  const double W = static_cast<double>(image ? vit ? of_vit.width : of_resnet.width : c.text.width);
  const double M = static_cast<double>(image ? of_vit.mlp_width : c.text.mlp_width);
  const double L = static_cast<double>(c.text.layers), C = static_cast<double>(of_resnet.channels());
  const double inputs = static_cast<double>(s.count() / s.sizes[0]);
  if (name == "token_embedding.weight") return {rule::normal, 0.02};
  if (name == "positional_embedding") return {rule::normal, 0.01};
  if (name == "text_projection") return {rule::normal, 1 / std::sqrt(W)};
  if (is("running_mean") || is("in_proj_bias") || is("out_proj.bias")) return {rule::fixed, 0};
  if (is("running_var")) return {rule::fixed, 1};
  if (is("bn3.weight") && name.starts_with("visual.layer")) return {rule::fixed, 0};
  for (auto* norm : {".ln_1.", ".ln_2.", "ln_pre.", "ln_post.", "ln_final.", ".bn1.", ".bn2.", ".bn3.", ".downsample.1."})
    if (name.find(norm) != std::string::npos) return {rule::fixed, is("weight") ? 1.0 : 0.0};
  if (name.starts_with("visual.attnpool.")) return {is("bias") ? rule::uniform : rule::normal, 1 / std::sqrt(C)};
  if (is("c_fc.bias")) return {rule::uniform, 1 / std::sqrt(W)};
  if (is("c_proj.bias")) return {rule::uniform, 1 / std::sqrt(M)};
  if (!image) {
    if (is("attn.in_proj_weight")) return {rule::normal, 1 / std::sqrt(W)};
    if (is("mlp.c_fc.weight")) return {rule::normal, 1 / std::sqrt(2 * W)};
    if (is("attn.out_proj.weight") || is("mlp.c_proj.weight")) return {rule::normal, 1 / std::sqrt(W * 2 * L)};
  }
  if (is("class_embedding") || is("positional_embedding") || is("visual.proj")) return {rule::normal, 1 / std::sqrt(W)};
  if (is("attn.in_proj_weight")) return {rule::uniform, std::sqrt(6 / (4 * W))};
  return {rule::uniform, 1 / std::sqrt(inputs)};  // PyTorch's default for linear and convolution
}

template <class Encoder>
std::map<std::string, std::vector<float>> drawn(const clip_config& c, std::uint64_t seed, std::map<std::string, rule>& rules) {
  eigen<float> d;
  trainable<Encoder, eigen<float>> model(d, c);
  initialize(model, c, seed);
  std::map<std::string, std::vector<float>> out;
  walk(model, [&](const std::string& name, mat<float>& m, const shape& s, role) {
    auto& v = out[name];
    v.resize(static_cast<std::size_t>(m.size()));
    d.download(mat<const float>(m), mat<float>(v.data(), m.rows, m.cols));
    if (name != "logit_scale") rules[name] = rule_of(name, s, c);
  });
  return out;
}

template <class Encoder>
void check_initialisation(const clip_config& c) {
  std::map<std::string, rule> rules;
  const auto values = drawn<Encoder>(c, 1, rules);
  CHECK(values.at("logit_scale")[0] == Approx(std::log(1 / 0.07)).epsilon(1e-7));
  int random = 0;
  for (auto& [name, r] : rules) {
    INFO(name << ", rule " << r.how << " " << r.size);
    const auto& v = values.at(name);
    const auto n = static_cast<double>(v.size());
    double sum = 0, squares = 0, largest = 0;
    for (float x : v) {
      sum += static_cast<double>(x);
      squares += double(x) * double(x);
      largest = std::max(largest, std::abs(double(x)));
    }
    if (r.how == rule::fixed) {
      CHECK(std::all_of(v.begin(), v.end(), [size = r.size](float x) { return static_cast<double>(x) == size; }));
      continue;
    }
    ++random;
    // mean of n values: deviation sigma / sqrt(n); mean square: sqrt((m4 - sigma^4) / n), m4 = 3 sigma^4 or 9/5 sigma^4.
    const double sigma = r.how == rule::normal ? r.size : r.size / std::sqrt(3.0);
    const double spread = std::sqrt((r.how == rule::normal ? 2.0 : 0.8) / n);
    CHECK(std::abs(sum / n) <= 5 * sigma / std::sqrt(n));
    CHECK(std::abs(squares / n / (sigma * sigma) - 1) <= 5 * spread);
    if (r.how == rule::uniform) {
      CHECK(largest <= r.size * (1 + 1e-6));
      CHECK(largest >= r.size * (1 - 12 / n));  // missed with probability exp(-12)
    } else if (n > 100) {
      CHECK(largest > 2 * sigma);  // 5 % of a normal sample, none of a uniform one of this deviation
    }
  }
  CHECK(random > 20);
  std::map<std::string, rule> unused;
  CHECK(drawn<Encoder>(c, 1, unused) == values);
  CHECK(drawn<Encoder>(c, 2, unused).at("token_embedding.weight") != values.at("token_embedding.weight"));
}

}  // namespace

TEST_CASE("initialization: each rule within the error of its sample") {
  clip_config c;
  c.embed_dim = 48;
  c.act = activation::gelu;
  c.text = {20, 300, 64, 1, 3, 192, text_pool::argmax, 299};
  SECTION("vision transformer") {
    c.vision = vit_config{32, 8, 96, 2, 240, 2};
    check_initialisation<vit>(c);
  }
  SECTION("ModifiedResNet") {
    c.vision = modified_resnet_config{64, 8, 4, {1, 2, 1, 1}};
    check_initialisation<modified_resnet>(c);
  }
}

}  // namespace test_presets
