"""Models with random weights for gpu.py: PyTorch modules, and the folders that clipx reads them from.

The transformers are Hugging Face's CLIPModel (scaled_dot_product_attention); the ResNet is written here, for timm's and
transformers' have none with the names of OpenAI's checkpoints.
"""
import json

import torch
from torch import nn
from torch.nn import functional as F

MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
END = 49407
# image size, patch, width, layers, heads of the image tower; width, layers, heads of the text tower; width of the embeddings
TRANSFORMERS = {"ViT-B-32": (224, 32, 768, 12, 12, 512, 12, 8, 512), "ViT-L-14": (224, 14, 1024, 24, 16, 768, 12, 12, 768),
                "ViT-tiny": (32, 16, 64, 2, 2, 64, 2, 2, 32)}
# image size, width, blocks, width of the embeddings
RESNETS = {"RN50": (224, 64, (3, 4, 6, 3), 1024), "RN-tiny": (64, 16, (1, 1, 1, 1), 32)}


def image_size(name):
    return (TRANSFORMERS.get(name) or RESNETS[name])[0]


def make(name, folder):
    """A function tower -> module in f32 ("image": pixels (N, 3, n, n), "text": ids (N, L)), whose weights stand in `folder`."""
    torch.manual_seed(0)
    folder.mkdir(parents=True, exist_ok=True)
    return make_transformer(name, folder) if name in TRANSFORMERS else make_resnet(name, folder)


class hf_tower(nn.Module):
    def __init__(self, tower, projection):
        super().__init__()
        self.tower, self.projection = tower, projection

    def forward(self, x):
        return self.projection(self.tower(x).pooler_output)


def make_transformer(name, folder):
    import transformers

    transformers.utils.logging.disable_progress_bar()
    size, patch, width, layers, heads, text_width, text_layers, text_heads, dim = TRANSFORMERS[name]
    shared = {"hidden_act": "quick_gelu", "projection_dim": dim}
    text = {"hidden_size": text_width, "intermediate_size": 4 * text_width, "num_hidden_layers": text_layers,
            "num_attention_heads": text_heads, "vocab_size": 49408, "max_position_embeddings": 77, "bos_token_id": 49406,
            "eos_token_id": END, "pad_token_id": END}
    vision = {"hidden_size": width, "intermediate_size": 4 * width, "num_hidden_layers": layers, "num_attention_heads": heads,
              "image_size": size, "patch_size": patch}
    config = transformers.CLIPConfig(text_config=text | shared, vision_config=vision | shared, projection_dim=dim)
    config._attn_implementation = "sdpa"
    model = transformers.CLIPModel(config).eval()
    model.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(
        {"size": {"shortest_edge": size}, "crop_size": {"height": size, "width": size}, "image_mean": MEAN, "image_std": STD,
         "do_resize": True, "do_center_crop": True, "do_normalize": True, "resample": 3}))
    return lambda tower: hf_tower(model.vision_model, model.visual_projection) if tower == "image" \
        else hf_tower(model.text_model, model.text_projection)


class bottleneck(nn.Module):
    def __init__(self, into, planes, stride):
        super().__init__()
        out = 4 * planes
        self.conv1, self.bn1 = nn.Conv2d(into, planes, 1, bias=False), nn.BatchNorm2d(planes)
        self.conv2, self.bn2 = nn.Conv2d(planes, planes, 3, padding=1, bias=False), nn.BatchNorm2d(planes)
        self.conv3, self.bn3 = nn.Conv2d(planes, out, 1, bias=False), nn.BatchNorm2d(out)
        self.pool = nn.AvgPool2d(stride) if stride > 1 else nn.Identity()
        self.downsample = nn.Sequential(nn.Conv2d(into, out, 1, bias=False), nn.BatchNorm2d(out)) if stride > 1 or into != out else None

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        y = self.pool(F.relu(self.bn2(self.conv2(y))))
        y = self.bn3(self.conv3(y))
        return F.relu(y + (self.downsample(self.pool(x)) if self.downsample else x))


class attention_pool(nn.Module):
    """The mean token asks all tokens, itself among them."""

    def __init__(self, tokens, width, dim):
        super().__init__()
        self.positional_embedding = nn.Parameter(torch.randn(tokens + 1, width) / width**0.5)
        self.q_proj, self.k_proj, self.v_proj = (nn.Linear(width, width) for _ in range(3))
        self.c_proj = nn.Linear(width, dim)
        self.heads = width // 64

    def forward(self, x):
        x = x.flatten(2).transpose(1, 2)  # (N, L, width)
        x = torch.cat([x.mean(1, keepdim=True), x], 1) + self.positional_embedding

        def split(y):
            return y.unflatten(-1, (self.heads, 64)).transpose(1, 2)

        y = F.scaled_dot_product_attention(split(self.q_proj(x[:, :1])), split(self.k_proj(x)), split(self.v_proj(x)))
        return self.c_proj(y.transpose(1, 2).flatten(1))


class resnet(nn.Module):
    def __init__(self, size, width, blocks, dim):
        super().__init__()
        half = width // 2
        self.conv1, self.bn1 = nn.Conv2d(3, half, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(half)
        self.conv2, self.bn2 = nn.Conv2d(half, half, 3, padding=1, bias=False), nn.BatchNorm2d(half)
        self.conv3, self.bn3 = nn.Conv2d(half, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)
        into = width
        for stage, count in enumerate(blocks):
            planes, layer = width << stage, []
            for i in range(count):
                layer.append(bottleneck(into, planes, 2 if stage and i == 0 else 1))
                into = 4 * planes
            setattr(self, f"layer{stage + 1}", nn.Sequential(*layer))
        self.attnpool = attention_pool((size // 32) ** 2, into, dim)

    def forward(self, x):
        for conv, bn in ((self.conv1, self.bn1), (self.conv2, self.bn2), (self.conv3, self.bn3)):
            x = F.relu(bn(conv(x)))
        x = self.layer4(self.layer3(self.layer2(self.layer1(F.avg_pool2d(x, 2)))))
        return self.attnpool(x)


def make_resnet(name, folder):
    from safetensors.torch import save_file

    size, width, blocks, dim = RESNETS[name]
    model = resnet(size, width, blocks, dim).eval()
    for key, bn in model.named_modules():  # statistics and gains as of a trained model: not all 0 and 1
        if isinstance(bn, nn.BatchNorm2d):
            bn.running_mean.normal_(0, 0.1), bn.running_var.uniform_(0.8, 1.2)
            bn.weight.data.uniform_(0.4, 0.6) if key.endswith("bn3") else bn.weight.data.uniform_(0.9, 1.1)
    # A text tower of one small layer: the folder must be whole, and nobody asks it.
    text = {"context_length": 77, "vocab_size": 1024, "width": 64, "heads": 1, "layers": 1}
    state = {"visual." + k: v for k, v in model.state_dict().items() if not k.endswith("num_batches_tracked")}
    block = "transformer.resblocks.0."
    for key, shape in {"token_embedding.weight": (1024, 64), "positional_embedding": (77, 64), "text_projection": (64, dim),
                       "ln_final.weight": (64,), "ln_final.bias": (64,), "logit_scale": (), block + "ln_1.weight": (64,),
                       block + "ln_1.bias": (64,), block + "ln_2.weight": (64,), block + "ln_2.bias": (64,),
                       block + "attn.in_proj_weight": (192, 64), block + "attn.in_proj_bias": (192,),
                       block + "attn.out_proj.weight": (64, 64), block + "attn.out_proj.bias": (64,),
                       block + "mlp.c_fc.weight": (256, 64), block + "mlp.c_fc.bias": (256,), block + "mlp.c_proj.weight": (64, 256),
                       block + "mlp.c_proj.bias": (64,)}.items():
        state[key] = torch.randn(shape) * 0.1
    config = {"model_cfg": {"embed_dim": dim, "quick_gelu": True, "text_cfg": text,
                            "vision_cfg": {"image_size": size, "layers": list(blocks), "width": width, "patch_size": None}},
              "preprocess_cfg": {"mean": MEAN, "std": STD, "interpolation": "bicubic", "resize_mode": "shortest"}}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    save_file({k: v.contiguous() for k, v in state.items()}, folder / "open_clip_model.safetensors")
    return lambda tower: model
