// Packages of this folder's own package.json, which are installed only for `npm run matrix`.
declare module "cross-fetch";
declare module "miniflare";
declare module "node-fetch";
declare module "undici-6";
declare module "undici-8";
