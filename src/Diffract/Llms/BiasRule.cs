namespace Diffract.Llms;

/// <summary>When a family's matrices have biases.</summary>
public enum BiasRule
{
    Never,

    /// <summary>When the configuration's key says so (<see cref="LlmKeys.AttentionBias"/>, <see cref="LlmKeys.MlpBias"/>).</summary>
    ByKey,

    Always,
}
