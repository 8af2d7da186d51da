namespace Diffract.Crosscoders;

/// <summary>How published dictionaries lie in folders.</summary>
public enum FolderLayout
{
    /// <summary>The reference library's hub form: <c>model.safetensors</c>, <c>config.json</c>. Ours.</summary>
    Hub,

    /// <summary>The reference library's training form: a state dict <c>model_final.pt</c>, <c>ae.pt</c> or <c>checkpoint_&lt;step&gt;.pt</c>, and <c>config.json</c> with the part <c>trainer</c>.</summary>
    Local,

    /// <summary>Crosscoders with <c>W_enc, b_enc, W_dec, b_dec</c>: <c>cc_weights.pt</c>, <c>cfg.json</c>.</summary>
    Blocks,

    /// <summary>SAELens: <c>sae_weights.safetensors</c>, <c>cfg.json</c>.</summary>
    SaeLens,

    /// <summary>sparsify: <c>sae.safetensors</c>, <c>cfg.json</c>.</summary>
    Sparsify,

    /// <summary>Crosscoders with latents dedicated to one model: <c>model.pt</c>, and <c>config.json</c> with <c>n_a</c> and <c>n_b</c>. Read only.</summary>
    Dedicated,
}
