using Diffract.Crosscoders;
using Diffract.Runs;

namespace Diffract.Pipeline;

/// <summary>The run on the embedded pair: both kinds of crosscoder on the same activations.</summary>
public static class Demo
{
    /// <param name="assets">The folder <c>assets/organism</c> beside the program.</param>
    public static PipelineSettings Settings(string assets)
    {
        if (!Directory.Exists(assets))
        {
            throw new DiffractException($"the embedded pair is not at {assets}; build the program from a whole checkout");
        }

        return new PipelineSettings
        {
            BaseModel = Path.Combine(assets, "base"),
            ChatModel = Path.Combine(assets, "chat"),
            Texts = [Path.Combine(assets, "documents.jsonl.gz")],
            Chats = [Path.Combine(assets, "chats.jsonl.gz")],
            Kinds = [CrosscoderKind.BatchTopK, CrosscoderKind.L1],
        };
    }
}
