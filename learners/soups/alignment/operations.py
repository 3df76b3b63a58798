"""Which rule each of torch's operations follows, by its name in ATen."""

from learners.soups.alignment import rules
from learners.soups.alignment.rules import Rule

POINTWISE = """
    abs add add_ addcmul clamp clamp_max clamp_min copy_ cos div div_ elu eq erf exp exp_ ge gelu gt hardswish
    hardtanh le leaky_relu log logical_and logical_not logical_or lt masked_fill masked_fill_ maximum minimum mish mul
    mul_ ne neg pow reciprocal relu relu_ rsqrt rsub sigmoid sign silu silu_ sin softplus sqrt sub sub_ tanh where
""".split()  # noqa: SIM905 - a list of names reads best as a text
ACTIVATIONS = {"elu", "gelu", "hardswish", "leaky_relu", "mish", "relu", "relu_", "sigmoid", "silu", "silu_", "tanh"}
"""Operations after which units are looked at when activations are compared."""
LAYERS = {"addmm", "bmm", "convolution", "embedding", "mm", "native_layer_norm"}
"""Operations after which they are looked at where no activation function follows."""
LOOKED_AT = ACTIVATIONS | LAYERS
"""Operations that are numbered, in the order of computation; others may come and go with torch's bookkeeping."""

RULES: dict[str, Rule] = {
    **dict.fromkeys(POINTWISE, rules.pointwise),
    **dict.fromkeys(
        ["_to_copy", "alias", "clone", "detach", "lift_fresh", "_softmax", "_log_softmax"], rules.unchanged
    ),
    **dict.fromkeys(["_unsafe_view", "view", "reshape", "_reshape_alias"], rules.reshaped),
    "permute": rules.permuted,
    **dict.fromkeys(["t", "transpose", "numpy_T"], rules.transposed),
    "expand": rules.expanded,
    "unsqueeze": rules.unsqueezed,
    "squeeze": rules.squeezed,
    "select": rules.selected,
    **dict.fromkeys(["slice", "split", "split_with_sizes", "unbind"], rules.parted),
    **dict.fromkeys(["cat", "stack"], rules.joined),
    **dict.fromkeys(["amax", "mean", "sum"], rules.reduced),
    **dict.fromkeys(["addmm", "baddbmm", "bmm", "mm"], rules.multiplied),
    "convolution": rules.convolved,
    **dict.fromkeys(["_adaptive_avg_pool2d", "avg_pool2d", "max_pool2d_with_indices", "max_pool2d"], rules.pooled),
    "embedding": rules.embedded,
    "native_layer_norm": rules.layer_normalised,
    **dict.fromkeys(
        ["native_batch_norm", "_native_batch_norm_legit", "_native_batch_norm_legit_no_training"],
        rules.batch_normalised,
    ),
    "native_group_norm": rules.group_normalised,
    **dict.fromkeys(["tril", "triu"], rules.triangular),
}
