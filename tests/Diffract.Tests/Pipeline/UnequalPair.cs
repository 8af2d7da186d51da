using System.Text.Json.Nodes;
using Diffract.Formats;
using Diffract.Tests.Cli;

namespace Diffract.Tests.Pipeline;

/// <summary>The embedded chat model against a base model that is narrower: the embedded one with every residual vector cut to its first 96 columns. Taken through all verbs, chats alone.</summary>
public sealed class UnequalPair : IDisposable
{
    public const int Narrow = 96, Wide = 128;

    readonly TemporaryFolder _folder = new();
    readonly List<string> _errors = [];

    public UnequalPair()
    {
        Base = Path.Combine(_folder.Path, "narrow");
        Cut(Path.Combine(GoldenFiles.Assets, "base"), Base);
        foreach (string call in (string[])[
            $"tokenize run --base {Base} --chat {Path.Combine(GoldenFiles.Assets, "chat")} --chats {Path.Combine(GoldenFiles.Assets, "chats.jsonl.gz")} --tokens 30000",
            "harvest run --layer 3",
            "train run --latents 192 --k 8 --steps 60 --batch 512 --normalise --threshold-from 20",
            "latents run",
            "evidence run --shuffles 20 --resamples 20",
            "report run"])
        {
            (int code, _, string error) = Run(call.Split(' '));
            if (code != 0)
            {
                _errors.Add($"{call}: {error}");
            }
        }
    }

    public string Base { get; }

    public string Folder => Path.Combine(_folder.Path, "run");

    public IReadOnlyList<string> Errors => _errors;

    public (int Code, string Output, string Error) Run(params string[] arguments) => CommandLine.Run(_folder.Path, arguments);

    public void Dispose() => _folder.Dispose();

    static void Cut(string from, string to)
    {
        Directory.CreateDirectory(to);
        foreach (string file in Directory.GetFiles(from).Where(f => !f.EndsWith(".safetensors", StringComparison.Ordinal)))
        {
            File.Copy(file, Path.Combine(to, Path.GetFileName(file)));
        }

        JsonNode config = JsonNode.Parse(File.ReadAllText(Path.Combine(to, "config.json")))!;
        config["hidden_size"] = Narrow;
        File.WriteAllText(Path.Combine(to, "config.json"), config.ToJsonString());
        using SafetensorsFile file0 = SafetensorsFile.Open(Path.Combine(from, "model.safetensors"));
        SafetensorsWriter writer = new();
        foreach (TensorEntry entry in file0.Tensors.Values)
        {
            // Heads and the MLP's middle keep their size: only the residual's axis is cut.
            bool rows = entry.Shape.Length == 1 || entry.Name.Contains("o_proj", StringComparison.Ordinal) || entry.Name.Contains("down_proj", StringComparison.Ordinal);
            long[] shape = rows ? [Narrow, .. entry.Shape[1..]] : [entry.Shape[0], Narrow];
            byte[] bytes = file0.Bytes(entry.Name).ToArray();
            int row = (int)(bytes.Length / entry.Shape[0]), size = row / (int)entry.Shape[1..].Aggregate(1L, (a, b) => a * b);
            byte[] cut = rows ? bytes[..(Narrow * row)] : [.. Enumerable.Range(0, (int)entry.Shape[0]).SelectMany(r => bytes[(r * row)..((r * row) + (Narrow * size))])];
            writer.AddBytes(entry.Name, entry.Type, shape, cut.Length, s => s.Write(cut));
        }

        writer.Save(Path.Combine(to, "model.safetensors"));
    }
}
