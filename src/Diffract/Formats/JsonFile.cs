using System.Text.Json;
using Diffract.Runs;

namespace Diffract.Formats;

/// <summary>JSON files of a few kilobytes that come from elsewhere: read whole, and every name and text in them proved readable, so that whoever asks for one later cannot fail.</summary>
static class JsonFile
{
    /// <summary>An object; the caller disposes of the document.</summary>
    /// <param name="path">File.</param>
    /// <param name="wanted">What it should be, for the message: "a model's configuration".</param>
    /// <exception cref="DiffractException">It cannot be read, is not JSON, is not an object, or holds a text that is not Unicode.</exception>
    public static JsonDocument ReadObject(string path, string wanted)
    {
        JsonDocument? document = null;
        try
        {
            document = JsonDocument.Parse(File.ReadAllBytes(path));
            if (document.RootElement.ValueKind != JsonValueKind.Object)
            {
                throw new DiffractException($"{path} is not a JSON object; wanted {wanted}");
            }

            ReadTexts(document.RootElement);
            return document;
        }
        catch (Exception e)
        {
            document?.Dispose();
            throw e switch
            {
                JsonException => new DiffractException($"{path} is not valid JSON: {e.Message}", inner: e),
                InvalidOperationException => new DiffractException($"{path} holds a text that is not Unicode; wanted {wanted}; fetch it again", inner: e),
                IOException or UnauthorizedAccessException => new DiffractException($"cannot read {path}: {e.Message}", inner: e),
                _ => e,
            };
        }
    }

    // The parser checks neither the bytes of a text nor its surrogates: reading it does.
    static void ReadTexts(JsonElement element)
    {
        switch (element.ValueKind)
        {
            case JsonValueKind.Object:
                foreach (JsonProperty member in element.EnumerateObject())
                {
                    _ = member.Name;
                    ReadTexts(member.Value);
                }

                break;
            case JsonValueKind.Array:
                foreach (JsonElement item in element.EnumerateArray())
                {
                    ReadTexts(item);
                }

                break;
            case JsonValueKind.String:
                element.GetString();
                break;
        }
    }
}
