using Diffract.Crosscoders;
using Diffract.Llms;
using Diffract.Runs;

namespace Diffract.Evidence;

/// <summary>What an intervention takes: the base model up to the hooked block, the whole chat model, the crosscoder, a batch with the last block's output of every edit, and the logits of some rows.</summary>
/// <param name="Models">Both models at once, or one after the other batch by batch.</param>
/// <param name="LogitRows">Rows whose logits are made at a time.</param>
public sealed record EvidenceMemory(ModelsInMemory Models, int LogitRows)
{
    /// <summary>Rows at a time, from many to few: the head's weights are widened once for all of them.</summary>
    const int MostRows = 256, FewestRows = 16;

    /// <summary>Floats of a logit matrix, at most.</summary>
    const long MostLogits = 64L << 20;

    /// <param name="folders">Base and chat checkpoints.</param>
    /// <param name="layer">Hooked block.</param>
    /// <param name="latents">L.</param>
    /// <param name="edits">How many.</param>
    /// <param name="baseHead">Whether the base model's own predictions are among the edits.</param>
    /// <param name="tokens">Tokens of a batch, all of which may be looked at.</param>
    /// <param name="memory">The bound.</param>
    /// <exception cref="DiffractException">Not even one model at a time fits.</exception>
    public static EvidenceMemory Choose(string[] folders, LayerPair layer, int latents, int edits, bool baseHead, int tokens, MemoryBudget memory)
    {
        LlmConfig chat = LlmConfig.Load(folders[1]), first = LlmConfig.Load(folders[0]);
        LlmMemory baseModel = LlmMemory.Of(folders[0], baseHead ? first.Layers : layer.Base + 1, baseHead, tokens, tokens), chatModel = LlmMemory.Of(folders[1], chat.Layers, head: true, tokens, tokens);
        long e = first.Width + chat.Width;

        // A row of the pair, its reconstruction, the edited row and every edit's last one; the encoder packs the batch, in numbers of 16 and of 32 bits.
        long batch = sizeof(float) * (long)tokens * (2 * e + e * 3 / 2 + chat.Width * (edits + 2L));
        long both = CrosscoderMemory.Bytes(latents, e, tokens) + batch + LlmMemory.Process + baseModel.Copied + chatModel.Copied + baseModel.Work + chatModel.Work;

        // Side by side only where an edit's predictions are the base model's own: both heads.
        long together = both + baseModel.Mapped + chatModel.Mapped;
        long alone = both + Math.Max(baseModel.Mapped, chatModel.Mapped + (baseHead ? baseModel.Head : 0));
        int rows = (int)Math.Clamp(MostLogits / chat.Vocabulary, FewestRows, MostRows);
        long Logits(int some) => 2L * some * chat.Vocabulary * sizeof(float);
        while (rows > FewestRows && alone + Logits(rows) > memory.Bytes)
        {
            rows /= 2;
        }

        rows = Math.Max(rows, FewestRows);
        return new EvidenceMemory(
            ModelsInMemory.Choose("intervention", together + Logits(rows), alone + Logits(rows), memory, "choose a smaller crosscoder or smaller models"), rows);
    }
}
