using System.Globalization;
using Diffract.Formats;

namespace Diffract.Llms;

/// <summary>What a model takes while it runs, by the headers of its files.</summary>
/// <param name="Mapped">Bytes of weights that a pass reads where they lie, in the mapped files.</param>
/// <param name="Copied">Bytes of weights that are copied at load: float16 and all vectors, which are widened, and what lies transposed or head by head.</param>
/// <param name="Work">Bytes between the operations.</param>
/// <param name="Head">Bytes of the head, which are in <paramref name="Mapped"/> or <paramref name="Copied"/> too where a pass needs it.</param>
public sealed record LlmMemory(long Mapped, long Copied, long Work, long Head)
{
    /// <summary>What the products of both models pack their weights into, and the runtime with its code: once for a process.</summary>
    public const long Process = 384L << 20;

    /// <summary>Tokens that pass through the blocks together.</summary>
    const int ChunkTokens = 1024;

    public long Bytes => Mapped + Copied + Work;

    /// <param name="folder">A checkpoint.</param>
    /// <param name="blocks">How many blocks a pass goes through.</param>
    /// <param name="head">Whether logits are asked for.</param>
    /// <param name="tokens">Tokens of a batch.</param>
    /// <param name="longest">Tokens of the longest sequence.</param>
    public static LlmMemory Of(string folder, int blocks, bool head, int tokens, int longest)
    {
        LlmConfig config = LlmConfig.Load(folder);
        long mapped = 0, copied = 0, headBytes = 0;
        foreach (string path in CheckpointFiles.Weights(folder))
        {
            using SafetensorsFile file = SafetensorsFile.Open(path);
            foreach (TensorEntry entry in file.Tensors.Values)
            {
                bool isHead = IsHead(entry.Name), isTable = entry.Shape.Length == 2 && entry.Shape[0] == config.Vocabulary;
                bool widened = entry.Type == "F16" || entry.Shape.Length < 2;
                bool moved = widened || (config.Traits.Copies(entry.Name) && BlockOf(entry.Name) < config.Layers);
                long bytes = widened ? entry.Elements * sizeof(float) : entry.Bytes;
                headBytes += (config.TiesEmbeddings ? isTable && !isHead : isHead) ? bytes : 0;
                if (isHead && (!head || config.TiesEmbeddings))
                {
                    continue;
                }

                // Every block's copies are made at load; of mapped weights only those that are read take memory.
                copied += moved ? bytes : 0;
                mapped += moved || BlockOf(entry.Name) >= blocks ? 0 : bytes;
            }
        }

        long width = config.Width, queries = config.Heads * config.HeadWidth, keys = config.KeyValueHeads * config.HeadWidth;
        long chunk = Math.Min(tokens, Math.Max(ChunkTokens, longest));
        long work = sizeof(float) * (chunk * (2 * width + 2 * queries + 2 * keys) + 2 * tokens * width);
        work += config.MlpIsOneOperation ? 0 : sizeof(float) * chunk * config.MlpWidth * (config.Traits.Tensors.Gate is null ? 1 : 2);
        return new LlmMemory(mapped, copied, work, headBytes);
    }

    static bool IsHead(string name) => name.Contains("lm_head", StringComparison.Ordinal) || name.Contains("embed_out", StringComparison.Ordinal);

    /// <summary>The first part of a name that is a number; -1 for what lies outside of the blocks.</summary>
    static int BlockOf(string name)
    {
        foreach (string part in name.Split('.'))
        {
            if (int.TryParse(part, NumberStyles.None, CultureInfo.InvariantCulture, out int block))
            {
                return block;
            }
        }

        return -1;
    }
}
