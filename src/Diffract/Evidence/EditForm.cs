namespace Diffract.Evidence;

/// <summary>What an edit feeds into the chat model after the hooked block. Decoder biases are never added.</summary>
public enum EditForm
{
    /// <summary>h_base.</summary>
    None,

    /// <summary>h_base + Σ_all f·(d_chat - d_base).</summary>
    All,

    /// <summary>h_chat + Σ_all f·(d_base - d_chat): the base reconstruction with the chat error.</summary>
    Error,

    /// <summary>h_base, at template positions h_chat.</summary>
    Template,

    /// <summary>h_base + Σ_S f·(d_chat - d_base).</summary>
    Replace,

    /// <summary>h_base + Σ_S f·d_chat.</summary>
    Add,

    /// <summary>No edit: the base model's own logits.</summary>
    BaseModel,
}
