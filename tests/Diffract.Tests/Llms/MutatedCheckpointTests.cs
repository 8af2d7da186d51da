using Diffract.Compute.Reference;
using Diffract.Llms;
using Diffract.Tests.Formats;

namespace Diffract.Tests.Llms;

/// <summary>Damaged configurations and weight files of checkpoints load or are refused, by <see cref="MutatedFiles"/>.</summary>
public sealed class MutatedCheckpointTests : IDisposable
{
    /// <summary>Managed memory that one load may take: names and shapes of a few dozen tensors.</summary>
    const long MostBytes = 8L << 20;

    readonly TemporaryFolder _folder = new();
    readonly ReferenceBackend _backend = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("config.json, bytes")]
    [InlineData("config.json, values")]
    public void Damaged_configurations_give_our_own_error_in_bounded_memory(string kind)
    {
        string[] files = [.. Directory.GetFiles(GoldenFiles.Path("models"), "config*.json", SearchOption.AllDirectories).Order(StringComparer.Ordinal).Select(File.ReadAllText)];
        JsonMutations structure = new(files);
        byte[][] whole = [.. files.Select(System.Text.Encoding.UTF8.GetBytes)];
        string path = Path.Combine(_folder.Path, "config.json");
        MutatedFiles.Check(
            kind,
            MostBytes,
            m => kind.EndsWith("values", StringComparison.Ordinal) ? structure.Damage(m) : m.Damage(whole[m.Next(whole.Length)]),
            damaged =>
            {
                File.WriteAllBytes(path, damaged);
                LlmConfig.Load(_folder.Path);
            });
    }

    [Theory]
    [InlineData("model.safetensors, header bytes")]
    [InlineData("model.safetensors, header values")]
    [InlineData("model.safetensors.index.json, bytes")]
    [InlineData("model.safetensors.index.json, values")]
    public void Damaged_weight_files_give_our_own_error_in_bounded_memory(string kind)
    {
        bool index = kind.Contains("index", StringComparison.Ordinal);
        using TinyCheckpoint checkpoint = new();
        string path = Path.Combine(checkpoint.Save(index ? 3 : 1), index ? "model.safetensors.index.json" : "model.safetensors");
        byte[] whole = File.ReadAllBytes(path);
        int head = index ? whole.Length : 8 + (int)BitConverter.ToUInt64(whole);
        long data = whole.Length - head;
        JsonMutations structure = new([System.Text.Encoding.UTF8.GetString(whole, index ? 0 : 8, index ? head : head - 8)]);
        MutatedFiles.Check(
            kind,
            MostBytes,
            m =>
            {
                byte[] front = kind.EndsWith("bytes", StringComparison.Ordinal) ? m.Damage(whole[..head]) : structure.Damage(m);
                return index || kind.EndsWith("bytes", StringComparison.Ordinal) ? front : [.. BitConverter.GetBytes((ulong)front.Length), .. front];
            },
            damaged =>
            {
                // The weights are zeros that no disk has to hold: to write them anew each time took most of the time.
                using (FileStream file = File.Create(path))
                {
                    file.Write(damaged);
                    file.SetLength(damaged.Length + data);
                }

                using Llm llm = Llm.Load(checkpoint.Folder, _backend, maxTokens: 8);
            });
    }
}
