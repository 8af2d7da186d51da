using System.IO.Hashing;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace Diffract.Runs;

/// <summary>
/// <c>manifest.json</c> of a stage folder: what was made, from what, with which settings. It is written last, so a folder without one is unfinished.
/// </summary>
public sealed record StageManifest
{
    public const string FileName = "manifest.json";

    /// <summary>The verb: tokenize, harvest, train, latents, scale, evidence, report.</summary>
    public required string Stage { get; init; }

    /// <summary>Everything that decides the result; two runs with equal settings and inputs give equal outputs.</summary>
    public required JsonObject Settings { get; init; }

    /// <summary>Fingerprints of the stage folders that this one was made from, by path relative to the run.</summary>
    public Dictionary<string, string> Inputs { get; init; } = [];

    /// <summary>Seals of the files written, by path relative to the stage folder.</summary>
    public Dictionary<string, FileSeal> Outputs { get; init; } = [];

    /// <summary>Numbers worth knowing that do not decide the result: counts, rates, warnings.</summary>
    public JsonObject Facts { get; init; } = [];

    /// <summary>Program version, kernels, processor.</summary>
    public string Version { get; init; } = Provenance.Version;

    public string Backend { get; init; } = "";

    /// <summary>UTC, ISO 8601.</summary>
    public string Finished { get; init; } = "";

    public double Seconds { get; init; }

    /// <summary>Hash of stage, settings, inputs and output seals: equal fingerprints mean equal artefacts.</summary>
    public string Fingerprint()
    {
        StringBuilder text = new();
        text.Append(Stage).Append('\n').Append(Settings.ToJsonString()).Append('\n');
        foreach ((string path, string print) in Inputs.OrderBy(p => p.Key, StringComparer.Ordinal))
        {
            text.Append(path).Append(' ').Append(print).Append('\n');
        }

        foreach ((string path, FileSeal seal) in Outputs.OrderBy(p => p.Key, StringComparer.Ordinal))
        {
            text.Append(path).Append(' ').Append(seal.Xxh128).Append('\n');
        }

        return Convert.ToHexStringLower(XxHash128.Hash(Encoding.UTF8.GetBytes(text.ToString())));
    }

    public void Save(string folder)
        => AtomicFile.WriteText(
            Path.Combine(folder, FileName),
            JsonSerializer.Serialize(this with { Finished = DateTime.UtcNow.ToString("yyyy-MM-ddTHH:mm:ssZ", System.Globalization.CultureInfo.InvariantCulture) }, Provenance.Json));

    /// <summary>The manifest of a stage folder, or null when the stage has not finished there.</summary>
    public static StageManifest? TryLoad(string folder)
    {
        string path = Path.Combine(folder, FileName);
        if (!File.Exists(path))
        {
            return null;
        }

        try
        {
            return JsonSerializer.Deserialize<StageManifest>(File.ReadAllText(path), Provenance.Json);
        }
        catch (JsonException e)
        {
            throw new DiffractException($"{path} is not a manifest ({e.Message}); remove the folder and run the stage again", inner: e);
        }
    }
}
