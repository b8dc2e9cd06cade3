// @modelcontextprotocol/client 2.x as a host uses it.
import { Client, StreamableHTTPClientTransport, UnauthorizedError } from '@modelcontextprotocol/client';
import { HostClient } from './host.js';

export class Sdk2Client extends HostClient {
  static title = 'TypeScript SDK 2.4';
  static Client = Client;
  static Transport = StreamableHTTPClientTransport;
  static UnauthorizedError = UnauthorizedError;

  finish(callback) {
    return this.transport.finishAuth(callback.searchParams); // checks `iss` before anything else
  }
}
