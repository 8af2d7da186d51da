using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using Diffract.Runs;

namespace Diffract.Crosscoders;

/// <summary>Which layout a folder has, told by the names of its files.</summary>
/// <param name="Layout">The layout.</param>
/// <param name="Weights">Path of the file of weights.</param>
/// <param name="Config">Path of the configuration.</param>
public sealed record FolderFiles(FolderLayout Layout, string Weights, string Config)
{
    const string Wanted = $"wanted {CrosscoderFolder.ModelFile} and {CrosscoderFolder.ConfigFile} (hub), model_final.pt, ae.pt or checkpoint_<step>.pt and {CrosscoderFolder.ConfigFile} (local), "
        + "cc_weights.pt and cfg.json (blocks), sae_weights.safetensors and cfg.json (SAELens), sae.safetensors and cfg.json (sparsify), or model.pt and config.json (dedicated latents)";

    /// <summary>Weights by layout, in the order in which they are looked for.</summary>
    static readonly (string File, FolderLayout Layout, string Config)[] Known =
    [
        (CrosscoderFolder.ModelFile, FolderLayout.Hub, CrosscoderFolder.ConfigFile),
        ("model_final.pt", FolderLayout.Local, CrosscoderFolder.ConfigFile),
        ("ae.pt", FolderLayout.Local, CrosscoderFolder.ConfigFile),
        ("cc_weights.pt", FolderLayout.Blocks, "cfg.json"),
        ("sae_weights.safetensors", FolderLayout.SaeLens, "cfg.json"),
        ("sae.safetensors", FolderLayout.Sparsify, "cfg.json"),
        ("model.pt", FolderLayout.Dedicated, CrosscoderFolder.ConfigFile),
    ];

    /// <summary>Recognises the layout of <paramref name="folder"/>.</summary>
    /// <exception cref="DiffractException">No such folder, no weights, or weights without their configuration; the message says what was found and what is wanted.</exception>
    public static FolderFiles Find(string folder)
    {
        if (!Directory.Exists(folder))
        {
            throw DiffractException.Argument($"crosscoder folder {folder} does not exist; {Wanted}");
        }

        (string file, FolderLayout layout, string config) = Known.FirstOrDefault(k => File.Exists(Path.Combine(folder, k.File)));
        if (file is null && LastCheckpoint(folder) is { } checkpoint)
        {
            (file, layout, config) = (checkpoint, FolderLayout.Local, CrosscoderFolder.ConfigFile);
        }

        string found = file is not null ? $"it has {file} but no {config}" : Listing(folder);
        return file is not null && File.Exists(Path.Combine(folder, config))
            ? new FolderFiles(layout, Path.Combine(folder, file), Path.Combine(folder, config))
            : throw new DiffractException($"{folder} is not a crosscoder's folder: {found}; {Wanted}");
    }

    /// <summary>The configuration.</summary>
    /// <exception cref="DiffractException">Not a JSON object.</exception>
    public JsonObject ReadConfig()
    {
        try
        {
            return JsonNode.Parse(File.ReadAllText(Config), null, new JsonDocumentOptions { AllowDuplicateProperties = false }) as JsonObject ?? throw new JsonException("not an object");
        }
        catch (JsonException e)
        {
            throw new DiffractException($"{Config} is not a crosscoder's configuration: {e.Message.Split('\n')[0]}", inner: e);
        }
    }

    /// <summary>The checkpoint of the largest step.</summary>
    static string? LastCheckpoint(string folder)
    {
        const string Before = "checkpoint_", After = ".pt";
        return Directory.EnumerateFiles(folder, Before + "*" + After)
            .Select(f => Path.GetFileName(f))
            .Select(f => (File: f, Known: long.TryParse(f.AsSpan(Before.Length, f.Length - Before.Length - After.Length), NumberStyles.None, CultureInfo.InvariantCulture, out long step), Step: step))
            .Where(f => f.Known)
            .OrderByDescending(f => f.Step)
            .FirstOrDefault().File;
    }

    static string Listing(string folder)
    {
        string[] there = [.. Directory.EnumerateFileSystemEntries(folder).Select(f => Path.GetFileName(f)).Order(StringComparer.Ordinal).Take(9)];
        return there.Length == 0 ? "it is empty" : $"it has {string.Join(", ", there.Take(8))}{(there.Length > 8 ? ", …" : "")}";
    }
}
