using System.Globalization;
using System.Text.Json;

namespace Diffract.Runs;

/// <summary><c>units/&lt;number&gt;.json</c> of an unfinished stage folder: one unit is published. It is written after the unit's file, once.</summary>
public sealed record UnitManifest
{
    /// <summary>From 0.</summary>
    public required int Unit { get; init; }

    /// <summary>How many units the stage has.</summary>
    public required int Units { get; init; }

    /// <summary>Its file, relative to the stage folder.</summary>
    public required string File { get; init; }

    public required FileSeal Seal { get; init; }

    /// <summary>Tasks that the stage was shared out to when this unit was made; 1: one process.</summary>
    public int Of { get; init; } = 1;

    /// <summary>Program version, kernels, processor; empty where the file was found whole and published later.</summary>
    public string Backend { get; init; } = "";

    /// <summary>Spent on computing it.</summary>
    public double Seconds { get; init; }

    /// <summary>The number in a manifest's file name, or null.</summary>
    public static int? NumberOf(string path)
        => path.EndsWith(".json", StringComparison.Ordinal) && int.TryParse(Path.GetFileNameWithoutExtension(path), NumberStyles.None, CultureInfo.InvariantCulture, out int number) ? number : null;

    /// <summary>Null: it is not there any more.</summary>
    /// <exception cref="DiffractException">It is not the manifest of that unit.</exception>
    public static UnitManifest? TryLoad(string path)
    {
        try
        {
            UnitManifest? manifest = JsonSerializer.Deserialize<UnitManifest>(System.IO.File.ReadAllText(path), Provenance.Json);
            return manifest is { File: not null, Seal: { Bytes: >= 0, Xxh128: not null } } && manifest.Unit == NumberOf(path) && manifest.Unit < manifest.Units && manifest.Of > 0
                ? manifest
                : throw new DiffractException($"{path} is not the manifest of unit {NumberOf(path)}: changed or damaged");
        }
        catch (JsonException e)
        {
            throw new DiffractException($"{path} is not the manifest of a unit ({e.Message}): changed or damaged", inner: e);
        }
        catch (IOException e) when (e is FileNotFoundException or DirectoryNotFoundException)
        {
            return null;
        }
    }
}
